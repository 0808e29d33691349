// The form of a backfill: days, criterio, a dry run that says what it will cost, and the start.
import { newKey, request } from "./api.js";
import { showDialog, start, whatWentWrong } from "./actions.js";
import { addDays, duration, integer, plural, today } from "./format.js";
import { Field, focusFault } from "./forms.js";
import { FIRST_DAY } from "./goals.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { useResources } from "./resources.js";
import { Button, Dialog } from "./ui.js";

const LONGEST_DAYS = 365;

const SPANS = [
  ["Ontem", () => [addDays(today(), -1), addDays(today(), -1)]],
  ["Últimos 7 dias", () => [addDays(today(), -7), addDays(today(), -1)]],
  ["Últimos 30 dias", () => [addDays(today(), -30), addDays(today(), -1)]],
  [
    "Mês passado",
    () => {
      const end = addDays(`${today().slice(0, 7)}-01`, -1);
      return [`${end.slice(0, 7)}-01`, end];
    },
  ],
];

export const bodyOf = (first, last, criterio, resource = "contratacoes") => ({
  resource,
  mode: "backfill",
  data_ini: `${first}T00:00:00`,
  data_fim: `${last}T23:59:59`,
  criterio,
});

const WHAT = {
  publicacao: ["O que foi publicado nestes dias", "O caminho usual: fecha o calendário de cobertura."],
  atualizacao: ["O que mudou nestes dias", "Registros de qualquer data que foram alterados no período."],
};

// What is wrong with each field, if anything is: {first, last}
function faultsOf(first, last) {
  const missing = "Informe o dia.";
  if (!first || !last) return { ...(first ? {} : { first: missing }), ...(last ? {} : { last: missing }) };
  if (first < FIRST_DAY) return { first: "O PNCP começa em 2021." };
  if (last > today()) return { last: "Este dia está no futuro." };
  if (first > last) return { last: "Vem antes do primeiro dia." };
  if ((new Date(last) - new Date(first)) / 86400000 >= LONGEST_DAYS) return { last: "São mais de 365 dias; divida em duas cargas." };
  return {};
}

export function askBackfill(given = {}) {
  showDialog(({ close }) => html`<${Backfill} close=${close} given=${given} />`);
}

function Backfill({ close, given }) {
  const [first, setFirst] = useState(given.first ?? addDays(today(), -7));
  const [last, setLast] = useState(given.last ?? addDays(today(), -1));
  const [resource, setResource] = useState(given.resource ?? "contratacoes");
  const [chosen, setCriterio] = useState(given.criterio ?? "publicacao");
  const resources = useResources();
  const criterios = resources.find((one) => one.name === resource)?.criterios ?? Object.keys(WHAT);
  const criterio = criterios.includes(chosen) ? chosen : criterios[0];
  const [plan, setPlan] = useState(null);
  const [busy, setBusy] = useState("");
  const [trouble, tell] = useState("");
  const [refused, refuse] = useState({}); // by the server
  const [tried, setTried] = useState(false);
  const form = useRef();
  const key = useRef(newKey());
  useEffect(() => {
    key.current = newKey(); // another request
    setPlan(null);
    tell("");
    refuse({});
  }, [first, last, criterio, resource]);
  const found = faultsOf(first, last);
  const faults = tried ? { ...refused, ...found } : refused;
  const body = bodyOf(first, last, criterio, resource);

  const attempt = async (name, act) => {
    if (busy) return;
    setTried(true);
    if (Object.keys(found).length) {
      focusFault(form.current, Object.keys(found));
      return;
    }
    setBusy(name);
    tell("");
    try {
      await act();
    } catch (error) {
      const { data_ini: ofFirst, data_fim: ofLast } = error.faultsOf?.(["data_ini", "data_fim"]) ?? {};
      const theirs = { ...(ofFirst && { first: ofFirst }), ...(ofLast && { last: ofLast }) };
      refuse(theirs);
      focusFault(form.current, Object.keys(theirs));
      tell(ofFirst || ofLast ? "" : whatWentWrong(error));
    }
    setBusy("");
  };
  const simulate = () => attempt("plan", async () => setPlan(await request("POST", "/sync/plan", { json: body })));
  const submit = (event) => {
    event.preventDefault();
    attempt("start", async () => {
      await start({ body, key: key.current });
      close();
    });
  };

  return html`<${Dialog} title="Carregar um período" onClose=${close}>
    <form onSubmit=${submit} noValidate ref=${form}>
      ${
        resources.length > 1 &&
        html`<label>O que carregar<select name="resource" value=${resource} onChange=${(event) => setResource(event.target.value)}>
          ${resources.map((one) => html`<option key=${one.name} value=${one.name} selected=${one.name === resource}>${one.label}</option>`)}
        </select></label>`
      }
      <div class="chips" role="group" aria-label="Períodos prontos">${SPANS.map(([name, span]) => {
        const [a, b] = span();
        const chosen = a === first && b === last;
        return html`<button type="button" class="chip" aria-pressed=${chosen ? "true" : "false"} onClick=${() => (setFirst(a), setLast(b))}>${name}</button>`;
      })}</div>
      <div class="two">
        <${Field} name="first" label="Primeiro dia" type="date" value=${first} min=${FIRST_DAY} max=${today()} fault=${faults.first} change=${setFirst} />
        <${Field} name="last" label="Último dia" type="date" value=${last} min=${FIRST_DAY} max=${today()} fault=${faults.last} change=${setLast} />
      </div>
      <fieldset><legend>Por qual data</legend>
        ${criterios
          .map((value) => [value, ...WHAT[value]])
          .map(
          ([
            value,
            name,
            hint,
          ]) => html`<label class="choice" key=${value}><input type="radio" name="criterio" value=${value} checked=${criterio === value} onChange=${() => setCriterio(value)} />
            <span>${name}<span class="hint">${hint}</span></span></label>`,
        )}
      </fieldset>
      <div class="plan" aria-live="polite">${plan ? html`<${Estimate} plan=${plan} />` : html`<p class="muted">${"Simule para saber quanto custa antes de iniciar. Nada é pedido ao portal."}</p>`}</div>
      <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
      <div class="dialog-actions"><${Button} writes onClick=${simulate} busy=${busy === "plan"}>Simular<//>
        <${Button} writes type="submit" kind="primary" busy=${busy === "start"}>Iniciar carga<//></div>
    </form>
  <//>`;
}

function Estimate({ plan }) {
  const days = Array.isArray(plan.days) ? plan.days.length : plan.days;
  const modalidades = Array.isArray(plan.modalidades) ? plan.modalidades.length : plan.modalidades;
  const about = (value, text) => (value == null ? "—" : text(value));
  return html`<dl class="figures">
      <div><dt>Fatias</dt><dd>${integer(plan.slices)}</dd>
        <dd class="hint">${about(days, (n) => plural(n, "dia", "dias"))}${modalidades == null ? "" : ` × ${plural(modalidades, "modalidade", "modalidades")}`}</dd>
        </div>
      <div><dt>Pedidos ao portal</dt><dd>${about(plan.requests_estimate, (n) => `≈ ${integer(n)}`)}</dd>
        <dd class="hint">${about(plan.records_estimate, (n) => `≈ ${plural(n, "registro", "registros")}`)}</dd></div>
      <div><dt>Tempo</dt><dd>${about(plan.seconds_estimate, (n) => `≈ ${duration(n)}`)}</dd>
        <dd class="hint">estimativa</dd></div>
    </dl>${typeof plan.basis === "string" && plan.basis && html`<p class="hint">${plan.basis}</p>`}`;
}
