"""The faults of the portal, on demand: which rule acts on which request, decided by a seed and not by the clock."""

import random
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any, Final, Literal

from simulator.records import without

# Rules that answer in place of the portal, and what their `value` means.
ANSWERS: Final = {
    "400": "a well-formed request refused; value: the message",
    "401": "value: unused",
    "403": "an HTML page of the firewall; value: unused",
    "404": "value: the message",
    "422": "a well-formed request refused; value: the message",
    "429": "the throttle's HTML page; value: the Retry-After header, sent verbatim (a number of seconds, any text; "
    "'date' = an HTTP date in 2 s), none if left out",
    "500": "JSON: no database connection; value: unused",
    "500_plain": "the plain sentence labelled application/json; value: unused",
    "502": "value: unused",
    "503": "value: the Retry-After header, none if left out",
    "504": "value: unused",
    "body": "any answer; value: {status: 200, text: '', content_type: 'application/json'}",
    "hang": "not a byte; value: seconds until the connection is closed, for ever if left out",
    "reset": "the connection is reset before the head; value: unused",
    "cut": "the chunked stream breaks off; value: share of the true body that arrives, default 0.5",
    "cut_json": "a complete answer whose JSON is cut; value: share of the true body, default 0.5",
    "html_200": "an HTML page with status 200; value: unused",
    "redirect": "302; value: the address, default another host",
    "gzip_bomb": "value: MiB after unpacking, default 256",
    "huge_body": "value: MiB sent, default 1024; 0 = endless",
    "nested": "an envelope around nested arrays; value: how deep, default 1000000",
    "empty_page": "a listing's envelope without records; value: unused",
    "no_content": "204, also in the middle of a listing; value: unused",
    "html_block": "the firewall's HTML page with status 200; value: unused",
    "forbidden": "403 to everything, as an address that is blocked sees it; value: unused",
    "bad_400": "400 to a well-formed request, the portal failing on its own data; value: unused",
    "query_failed": "500 to a listing that is not narrowed to one órgão, as pca/atualizacao says it; value: unused",
    "items_down": "503 to all that the integration service is asked for, or to one kind of it; value: unused",
    "poison_items": "503 to what hangs on some records, always the same ones; value: their share, default 0.1",
}
# Rules that change a true answer.
CHANGES: Final = {
    "latency": "wait before answering; value: milliseconds",
    "slow_page": "wait before answering; value: seconds, default 40",
    "total_records": "totalRegistros; value: the number, or text; '+5' and '-3' move the true one",
    "total_pages": "totalPaginas; value: as total_records",
    "page_number": "numeroPagina; value: as total_records",
    "repeat": "a record twice; value: 'same_page' (default: the first again at the end) or 'next_page' (the last one "
    "of the page before comes first)",
    "unordered": "the listing is shuffled; value: 'each' = anew for every request, else the same way for all its pages",
    "unordered_orgao": "a listing of one órgão has another order for every page, so that some records come twice and "
    "as many never; value: unused",
    "short_page": "a page loses records; value: how many are left, default 2",
    "copied_page": "a page holds the records of the next one, or of the one before where it is the last; value: unused",
    "left_out": "a listing's last page lacks its first record, which the totals count all the same; value: unused",
    "stale_record": "records as they were before their last change; value: their control numbers, all if left out",
    "second_look_empty": "of a listing of several pages every other look at page 1 is 204; value: unused",
    "change": "after this page is served, its listing changes; value: {remove: n, touch: n, append: n, insert: n, "
    "from: 'any' | 'page' | 'before' | 'after'} (from: where in the listing, seen from the page served, records are "
    "removed and touched; append: at its end; insert: in its middle)",
}
# Rules that spoil records of a listing, or items and what else the integration service answers where the match says
# service 'itens' or a kind.
SPOILERS: Final = {
    "nul": "NUL in a text; field: objetoCompra, objetoContrato, objetoContratacao, nomeUnidade, observacao "
    "or descricao",
    "surrogate": "a lone surrogate in a text",
    "long_text": "a text of one MiB",
    "nan": "the literal NaN; field: valorTotalEstimado, valorGlobal or valorTotal",
    "huge_number": "10^30",
    "wrong_type": "an object where a number belongs; or the field named",
    "drifted_field": "an object in place of processo, or of an item's unidadeMedida, on every record",
    "missing_key": "no numeroControlePNCP, or numeroItem; or the field named",
    "null_dates": "null in every stamp",
    "unknown_keys": "undocumented keys",
    "not_an_object": "text in place of the record",
}
NAMES: Final = (
    ANSWERS
    | CHANGES
    | {
        name: f"{meaning}; value: {{position: 0, field: '...', all: false}}, or the position"
        for name, meaning in SPOILERS.items()
    }
)
# Rules about envelopes: they have no meaning for items and details.
LISTING_ONLY: Final = frozenset(CHANGES) - {"latency", "slow_page"} | {"empty_page", "query_failed"}
# Rules about listings of one órgão (True), or of all (False).
BY_ORGAO: Final = {"unordered_orgao": True, "query_failed": False}
ITEMS_ONLY: Final = frozenset({"items_down", "poison_items"})
MATCH_KEYS: Final = frozenset(
    {"path", "service", "resource", "criterio", "modalidade", "page", "day", "cnpj", "key", "kind"}
)
_NUMBERS: Final = ("fail", "hang_seconds", "latency_ms", "rate_limit", "listed_twice", "seed")
_SHARES: Final = ("fail", "listed_twice")
FAILURES: Final = ("500", "500_plain", "502", "503", "504", "cut", "cut_json", "reset", "html_200")

Service = Literal["consulta", "itens"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may ask of a request; what does not apply is None.

    `key` is the control number. `kind` is what the integration service is asked for: 'itens', 'itens_pca',
    'resultados', 'arquivos', 'termos', 'historico' or 'dominios'.
    """

    service: Service
    path: str
    resource: str | None = None
    criterio: str | None = None
    modalidade: int | None = None
    page: int | None = None
    first_day: date | None = None
    last_day: date | None = None
    cnpj: str | None = None
    key: str | None = None
    kind: str | None = None


@dataclass(slots=True)
class Rule:
    """One fault.

    `name` is one of `NAMES`. `match` narrows it: `path` (a part of it), `service` ('consulta' or 'itens'), `resource`
    (of a listing), `criterio`, `modalidade`, `page`, `cnpj`, `key` (control number), `kind` ('itens', 'itens_pca',
    'resultados', 'arquivos', 'termos', 'historico', 'dominios'), each a value or a list of them, and `day`
    (`YYYY-MM-DD` or `YYYYMMDD`, in the window asked for). Of the requests that match, the first `skip` are spared, then
    each is hit with `probability` until it has hit `times` (None = no end). `hits` counts.
    """

    name: str
    match: dict[str, Any] = field(default_factory=dict)
    probability: float = 1.0
    times: int | None = None
    value: Any = None
    skip: int = 0
    hits: int = field(default=0, init=False)
    spared: int = field(default=0, init=False, repr=False)
    looks: Counter[str] = field(default_factory=Counter, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what would never act, so that a mistyped rule is not taken for a portal that stands firm."""
        if self.name not in NAMES:
            raise ValueError(f"no quirk is called {self.name!r}; there are {', '.join(NAMES)}")
        unknown = set(self.match) - MATCH_KEYS
        if unknown:
            raise ValueError(f"a quirk cannot match on {sorted(unknown)}; it can on {', '.join(sorted(MATCH_KEYS))}")
        if "day" in self.match:
            date.fromisoformat(str(self.match["day"]))
        if not 0 <= self.probability <= 1:
            raise ValueError(f"the probability of quirk {self.name} must lie in 0..1, not {self.probability}")

    def applies(self, facts: Facts) -> bool:
        """Whether this rule is about such a request at all."""
        if self.name in LISTING_ONLY and facts.criterio is None:
            return False
        if self.name in BY_ORGAO and (facts.cnpj is not None) != BY_ORGAO[self.name]:
            return False
        if self.name in ITEMS_ONLY and facts.service != "itens":
            return False
        if self.name == "poison_items" and not self._poisons(facts.key):
            return False
        # A record is spoiled where records are listed, what hangs on one only where the rule speaks of it.
        if self.name in SPOILERS and facts.criterio is None and not self._means_children():
            return False
        return all(_matches(facts, key, wanted) for key, wanted in self.match.items())

    def _means_children(self) -> bool:
        return self.match.get("service") == "itens" or "kind" in self.match

    def _poisons(self, key: str | None) -> bool:
        """Whether what hangs on this record is among what never comes."""
        share = 0.1 if self.value is None else float(self.value)
        return key is not None and zlib.crc32(key.encode()) % 1000 < share * 1000

    def look(self, listing: str) -> int:
        """How often page 1 of this listing has been looked at while the rule was there, this time included."""
        self.looks[listing] += 1
        return self.looks[listing]

    def strikes(self, rng: random.Random) -> bool:
        """Whether this rule acts on a request it applies to, counting it if so."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.spared < self.skip:
            self.spared += 1
            return False
        if self.probability < 1 and rng.random() >= self.probability:
            return False
        self.hits += 1
        return True


def _matches(facts: Facts, key: str, wanted: Any) -> bool:
    if key == "path":
        return str(wanted) in facts.path
    if key == "day":
        day = date.fromisoformat(str(wanted))
        return facts.first_day is not None and facts.last_day is not None and facts.first_day <= day <= facts.last_day
    actual = getattr(facts, key)
    return actual in wanted if isinstance(wanted, list | tuple | set) else actual == wanted


@dataclass(slots=True)
class Quirks:
    """How the portal misbehaves just now.

    `rules` act one by one; `fail` is the share of all answers that fail in some way of `FAILURES` (and by hanging
    `hang_seconds`, if set); `latency_ms` delays every answer; `rate_limit` is how many requests per second the
    consulta service takes before it answers 429 (0 = any); `listed_twice` is the share of the instrumentos de
    cobrança that their listing holds a second time. `page_beyond_end` is '400', '204' or 'empty', and `no_items`
    '204', '404' or 'empty' for records without items or without what else is asked for: what clients disagree
    about. Everything drawn follows from `seed`, the request and how often it came before: concurrency does not
    change a run.
    """

    rules: list[Rule] = field(default_factory=list)
    fail: float = 0.0
    hang_seconds: float | None = None
    latency_ms: float = 0.0
    rate_limit: float = 0.0
    listed_twice: float = 0.2
    page_beyond_end: Literal["400", "204", "empty"] = "400"
    no_items: Literal["204", "404", "empty"] = "204"
    seed: int = 0
    _seen: Counter[str] = field(default_factory=Counter, repr=False)

    def add(
        self,
        name: str,
        *,
        match: Mapping[str, Any] | None = None,
        probability: float = 1.0,
        times: int | None = None,
        value: Any = None,
        skip: int = 0,
    ) -> Rule:
        """Add one rule and return it; ValueError if there is no such quirk."""
        rule = Rule(name, dict(match or {}), probability, times, value, skip)
        self.rules.append(rule)
        return rule

    def reset(self) -> None:
        """Behave well from now on, and draw as if nothing had been drawn."""
        fresh = Quirks(seed=self.seed)
        for each in fields(self):
            setattr(self, each.name, getattr(fresh, each.name))

    def choose(self, facts: Facts, target: str) -> list[Rule]:
        """The rules that act on this request (`target`: path and query): those that change the answer, and at most one
        that replaces it, last.
        """
        self._seen[target] += 1
        # A generator of its own per request, so that runs repeat whatever order concurrent requests arrive in.
        rng = random.Random(zlib.crc32(f"{self.seed} {self._seen[target]} {target}".encode()))
        chosen: list[Rule] = []
        for rule in self.rules:
            if not rule.applies(facts) or not rule.strikes(rng):
                continue
            chosen.append(rule)
            if rule.name in ANSWERS:
                return chosen
        if self.fail and rng.random() < self.fail:
            kinds = FAILURES if self.hang_seconds is None else (*FAILURES, "hang")
            chosen.append(Rule(rng.choice(kinds), value=None))
            if chosen[-1].name == "hang":
                chosen[-1].value = self.hang_seconds
        return chosen

    def update(self, changes: Mapping[str, Any]) -> None:
        """Take settings from a JSON object: any field by name, `rules` as a list of objects (replacing all), and a
        quirk's name.

        A name's value is a probability, or an object with the fields of `Rule`, or a list of such objects, and adds to
        the rules. ValueError or TypeError, and no change at all, if any of it has no meaning.
        """
        settings: dict[str, Any] = {}
        rules = list(self.rules)
        for name, value in changes.items():
            if name == "rules":
                rules = [_rule(None, each) for each in value]
        for name, value in changes.items():
            if name in NAMES:
                rules += [_rule(name, each) for each in (value if isinstance(value, list) else [value])]
            elif name != "rules":
                settings[name] = _setting(name, value)
        self.rules = rules
        for name, value in settings.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """The settings, the rules, and how often each rule has acted, for people to read."""
        shown = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in {"rules", "_seen"}}
        return {"rules": [without(asdict(rule), ["spared", "looks"]) for rule in self.rules], **shown}


def _rule(name: str | None, value: Any) -> Rule:
    if isinstance(value, int | float) and name is not None and not isinstance(value, bool):
        return Rule(name, probability=value)
    if not isinstance(value, Mapping):
        raise TypeError(
            f"quirk {name or 'in rules'}: {value!r} is neither a probability nor an object with the fields of a rule"
        )
    given = {"name": name, **value} if name is not None else dict(value)
    given.pop("hits", None)  # so that what GET shows can be PUT back
    unknown = set(given) - {each.name for each in fields(Rule) if each.init}
    if unknown or "name" not in given:
        raise ValueError(
            f"a rule has the fields {', '.join(each.name for each in fields(Rule) if each.init)}; got {sorted(given)}"
        )
    return Rule(**given)


def _setting(name: str, value: Any) -> Any:
    choices = {"page_beyond_end": ("400", "204", "empty"), "no_items": ("204", "404", "empty")}
    if name in choices:
        if str(value) not in choices[name]:
            raise ValueError(f"{name} must be one of {', '.join(choices[name])}, not {value!r}")
        return str(value)
    if name == "hang_seconds" and value is None:
        return None
    if name not in _NUMBERS:
        raise ValueError(
            f"no setting or quirk is called {name!r}; there are {', '.join((*_NUMBERS, *choices, *NAMES))}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or (name in _SHARES and value > 1):
        raise ValueError(
            f"{name} must be a number of 0 or more{' and at most 1' if name in _SHARES else ''}, not {value!r}"
        )
    return value
