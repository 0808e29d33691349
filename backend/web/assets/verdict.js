// The server's verdict: three facts, each with the one button that helps, and what is wrong, folded.
import { whatWentWrong } from "./actions.js";
import { request } from "./api.js";
import { integer, plural } from "./format.js";
import { askGoal } from "./goals.js";
import { refresh } from "./live.js";
import { html, useState } from "./preact.js";
import { hashOf } from "./router.js";
import { Ago, Badge, Button, Card, Icon, Original, Since, toast } from "./ui.js";
import { who } from "./words.js";

const FACTS = { fresh: "Atualizado", complete: "Completo", healthy: "Saudável" };
export const TONES = { ok: "good", attention: "warn", problem: "bad", empty: "quiet" };
const MARKS = { ok: "ok", attention: "error", problem: "error", empty: "calendar" };
const SHOWN_EXECUTIONS = 5;

export const Verdict = ({ verdict }) =>
  html`<section class="verdict-facts" aria-labelledby="verdict-title">
    <div class=${isSaidBy(verdict.facts, verdict) ? "unseen" : "verdict-head"}><h1 id="verdict-title">${verdict.title}</h1><p>${verdict.text}</p></div>
    <ul class="fact-cards">${verdict.facts.map((fact) => html`<${Fact} key=${fact.fact} fact=${fact} />`)}</ul>
  </section>`;

// The worst fact is the verdict's own sentence: then its card says it.
const isSaidBy = (facts, verdict) => facts.some((fact) => fact.title === verdict.title && fact.text === verdict.text);

const Fact = ({ fact }) =>
  html`<li class="card fact ${TONES[fact.state]}">
    <p class="fact-name"><span class="fact-mark"><${Icon} name=${MARKS[fact.state]} /></span>${FACTS[fact.fact]}</p>
    <h2>${fact.title}</h2>
    ${fact.text && html`<p class="muted">${fact.text}</p>`}
    ${fact.since && html`<p class="muted small"><${Since} moment=${fact.since} /></p>`}
    ${fact.action && fact.state !== "ok" && html`<${Act} action=${fact.action} kind="small primary" />`}
  </li>`;

// The button of an action that the server names: a place of the page to open, or a request to send.
export function Act({ action, kind = "small", label }) {
  const [busy, setBusy] = useState(false);
  if (action.method === "GET") return html`<a class="button ${kind}" href=${placeOf(action)}>${action.label}${label && html`<span class="unseen">${label}</span>`}</a>`;
  const press = async () => {
    const [, resource] = /^\/sync\/goals\/([a-z_]+)$/.exec(action.path) ?? [];
    if (resource && action.method === "PUT") {
      askGoal({ resource, from: action.body?.from_day }); // it shows the cost before
      return;
    }
    setBusy(true);
    await perform(action);
    setBusy(false);
  };
  return html`<${Button} writes kind=${kind} busy=${busy} onClick=${press}>${action.label}${label && html`<span class="unseen">${label}</span>`}<//>`;
}

const placeOf = ({ path }) => `#${path.replace(/^[^#]*#/, "")}`;

async function perform({ label, method, path, body }) {
  try {
    const answer = await request(method, path, body ? { json: body } : {});
    const ids = answer?.execution_ids ?? (answer?.request_id ? [answer.request_id] : []);
    if (ids.length === 1) toast(`Execução ${ids[0]} iniciada.`, "good", { href: hashOf(`/execucoes/${ids[0]}`), text: "Acompanhar" });
    else if (ids.length) toast(`${plural(ids.length, "execução iniciada", "execuções iniciadas")}.`, "good", { href: hashOf("/historico", { status: "running" }), text: "Ver" });
    else toast(`${label}: feito.`);
  } catch (error) {
    toast(whatWentWrong(error), "bad");
  }
  await refresh("/sync/");
}

// What wants attention; what was acknowledged is folded away, and comes back when it changes.
export function Troubles({ troubles, facts }) {
  const open = troubles.filter((one) => !one.acknowledged_at && !stands(one, facts));
  const known = troubles.filter((one) => one.acknowledged_at);
  if (!open.length && !known.length) return null;
  const isBad = open.some((one) => one.state === "problem");
  return html`<${Card} id="troubles" title="Precisa de você" aside=${html`<${Badge} tone=${isBad ? "bad" : open.length ? "warn" : "good"}>${integer(open.length)}<//>`}>
    ${open.length ? html`<ul class="troubles">${open.map((one) => html`<${Trouble} key=${one.id} one=${one} />`)}</ul>` : html`<p class="calm">Nada que você já não saiba.</p>`}
    ${known.length > 0 && html`<details class="more"><summary>${plural(known.length, "já visto", "já vistos")}</summary>
      <ul class="troubles">${known.map((one) => html`<${Trouble} key=${one.id} one=${one} />`)}</ul></details>`}
  <//>`;
}

// Whether a fact above says the same, and there is nothing to press
const stands = (one, facts) =>
  !one.action && !one.can_acknowledge && !one.original && facts.some((fact) => fact.title === one.title && fact.text === one.text);

function Trouble({ one }) {
  const ids = (one.execution_ids ?? []).slice(0, SHOWN_EXECUTIONS);
  const rest = ids.length && one.count - ids.length; // the server names a hundred of them
  return html`<li class=${TONES[one.state]}><span class="trouble-mark"><${Icon} name="error" /></span><div>
      <p class="trouble-title">${one.title}</p>
      <p class="muted">${one.text}</p>
      ${(one.since || ids.length > 0) && html`<p class="muted small">${one.since && html`<${Since} moment=${one.since} />`}${one.since && ids.length > 0 && " · "}${ids.map((id, n) => html`${n ? ", " : ""}<a href=${hashOf(`/execucoes/${id}`)}>execução ${id}</a>`)}${rest > 0 && ` e mais ${integer(rest)}`}</p>`}
      ${one.acknowledged_at && html`<p class="muted small">Visto por ${who(one.acknowledged_by)} <${Ago} moment=${one.acknowledged_at} /></p>`}
      ${one.original && html`<${Original} text=${one.original} />`}</div>
    <div class="trouble-actions">
      ${one.action && html`<${Act} action=${one.action} kind="small primary" label=${`: ${one.title}`} />`}
      ${one.can_acknowledge && html`<${Acknowledge} one=${one} />`}
    </div></li>`;
}

function Acknowledge({ one }) {
  const method = one.acknowledged_at ? "DELETE" : "POST";
  const text = one.acknowledged_at ? "Mostrar de novo" : "Já sei";
  const press = async () => {
    try {
      await request(method, `/sync/troubles/${encodeURIComponent(one.id)}/acknowledge`);
    } catch (error) {
      toast(whatWentWrong(error), "bad");
    }
    await refresh("/sync/dashboard", "/sync/verdict");
  };
  return html`<${Button} writes kind="small" label=${`${text}: ${one.title}`} onClick=${press}>${text}<//>`;
}
