// Records that could not be stored: which, why, and what the portal sent.
import { withQuery } from "./api.js";
import { integer, numericDay, plural } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useState } from "./preact.js";
import { ResourceChoice, useResources } from "./resources.js";
import { hashOf, refine, route } from "./router.js";
import { Card, Copy, Empty, Original, Pager, Skeleton, Trouble, When } from "./ui.js";
import { modalidade } from "./words.js";

const RETRY = "./pncp rejected --retry";

export function Rejected() {
  const { query } = route.use();
  return html`<header class="view-head"><div><h1>Registros rejeitados</h1>
    <p class="muted">O que o portal enviou e não pôde ser gravado. Os outros registros do mesmo dia estão no espelho.</p></div></header>
    <${Card}><form class="filters" aria-label="Filtros" onSubmit=${(event) => event.preventDefault()}>
        <${ResourceChoice} resources=${useResources()} value=${query.recurso ?? ""} change=${(name) => refine({ recurso: name })} all="Todos os recursos" /></form>
      <${RejectedList} resource=${query.recurso} /><//>`;
}

export function RejectedList({ resource, execution }) {
  const [trail, setTrail] = useState([""]);
  useEffect(() => setTrail([""]), [resource, execution]);
  const path = withQuery("/sync/rejected", { resource, execution_id: execution, limit: 25, cursor: trail.at(-1) });
  const { data, error } = useLive(path, 60000);
  if (!data) return error ? html`<${Trouble} error=${error} again=${() => refresh(path)} />` : html`<${Skeleton} lines=${6} />`;
  if (!data.records.length) return html`<${Empty} title="Nenhum registro rejeitado" icon="ok">${execution ? "Tudo o que esta execução leu está gravado, ou foi gravado depois." : ""}<//>`;
  return html`<p class="note">Depois de instalar uma versão nova, tente gravá-los de novo: <${Copy} text=${RETRY} label="Copiar o comando" /></p>
    <ul class="rejected">${data.records.map((one) => html`<${Record} key=${one.id} one=${one} />`)}</ul>
    ${(trail.length > 1 || data.next_cursor) && html`<${Pager} back=${trail.length > 1 && (() => setTrail(trail.slice(0, -1)))} next=${data.next_cursor && (() => setTrail([...trail, data.next_cursor]))}>${integer(data.total)} ao todo<//>`}`;
}

function Record({ one }) {
  const facts = [one.label, one.day && numericDay(one.day), one.modalidade && modalidade(one.modalidade), one.times > 1 && `visto ${plural(one.times, "vez", "vezes")}`];
  return html`<li><div class="rejected-head"><strong>${one.explanation}</strong>
      <p><span class="mono">${one.natural_key ?? "sem chave legível"}</span> <span class="muted">${facts.filter(Boolean).join(" · ")}</span></p>
      <p class="muted small">visto por último <${When} moment=${one.last_seen} />${one.execution_id && html`, <a href=${hashOf(`/execucoes/${one.execution_id}`)}>execução ${one.execution_id}</a>`}</p></div>
    ${one.explanation !== one.reason && html`<${Original} text=${one.reason} />`}
    ${
      one.payload === null
        ? html`<p class="muted small">O conteúdo só é mostrado a administradores.</p>`
        : html`<details class="original"><summary>o que o portal enviou</summary><pre tabindex="0">${pretty(one.payload)}</pre>${one.payload_length > one.payload.length && html`<p class="muted small">O começo; são ${integer(one.payload_length)} letras.</p>`}</details>`
    }</li>`;
}

function pretty(payload) {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload; // cut, or no JSON
  }
}
