// What administrators were told, and whether it reaches them.
import { request, withQuery } from "./api.js";
import { confirm } from "./actions.js";
import { plural } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useState } from "./preact.js";
import { hashOf } from "./router.js";
import { Ago, Badge, Button, Card, Empty, Pager, Skeleton, toast, Trouble, When } from "./ui.js";

const CHANNEL = { email: "e-mail", webhook: "webhook" };

export function Alerts() {
  const [trail, setTrail] = useState([""]);
  const path = withQuery("/sync/alerts", { cursor: trail.at(-1) });
  const { data, error } = useLive(path, 20000);
  const missing = error?.status === 404;
  const silent = data && !data.channels?.length;
  return html`<header class="view-head"><div><h1>Alertas</h1><p class="muted">Do primeiro aviso à recuperação.</p></div>
      <div class="head-actions">${!missing && html`<${Button} writes icon="bell" disabled=${silent ? "Nenhum caminho está configurado" : ""} onClick=${askTest}>Enviar teste<//>`}</div>
        </header>
    ${silent && html`<p class="note warn">Nenhum e-mail nem webhook está configurado: os alertas só aparecem aqui.</p>`}
    ${
      missing
        ? html`<${Card}><${Empty} title="Este servidor não tem alertas" icon="bell">Os problemas em aberto aparecem no painel.<//>
          <//>`
        : !data
          ? error
            ? html`<${Trouble} error=${error} again=${() => refresh(path)} />`
            : html`<div class="card"><${Skeleton} lines=${5} /></div>`
          : html`<${List} alerts=${data.alerts} />
            ${(trail.length > 1 || data.next_cursor) && html`<${Pager} back=${trail.length > 1 && (() => setTrail(trail.slice(0, -1)))} next=${data.next_cursor && (() => setTrail([...trail, data.next_cursor]))} />`}`
    }`;
}

function askTest() {
  confirm({
    title: "Enviar um alerta de teste?",
    text: html`<p>Manda uma mensagem por todos os caminhos configurados (e-mail, webhook), para saber se chegam.</p>`,
    action: "Enviar teste",
    act: async () => {
      const { channels = [] } = (await request("POST", "/sync/alerts/test")) ?? {};
      const failed = channels.filter((one) => !one.delivered);
      const said = channels
        .map((one) => `${CHANNEL[one.channel] ?? one.channel}: ${one.delivered ? "entregue" : one.error}`)
        .join("; ");
      toast(said || "Alerta de teste enviado.", failed.length ? "bad" : "good");
    },
  });
}

function List({ alerts }) {
  const open = alerts.filter((one) => !one.resolved_at);
  const past = alerts.filter((one) => one.resolved_at);
  return html`<${Card} id="open-alerts" title="Em aberto" aside=${html`<${Badge} tone=${open.length ? "bad" : "good"}>${open.length}<//>`}>
      ${open.length ? html`<ul class="rows">${open.map((one) => html`<${Alert} key=${one.id} one=${one} />`)}</ul>` : html`<${Empty} title="Nenhum alerta em aberto" icon="ok" />`}<//>
    ${
      past.length > 0 &&
      html`<${Card} id="past-alerts" title="Resolvidos"><ul class="rows">${past.map((one) => html`<${Alert} key=${one.id} one=${one} />`)}</ul>
      <//>`
    }`;
}

function Alert({ one }) {
  const executions = (one.execution_ids ?? []).slice(0, 5);
  return html`<li><div><strong title=${(one.technical_detail ?? []).join("\n")}>${one.summary}</strong>
      <p class="muted">aberto <${Ago} moment=${one.opened_at} />${one.notifications > 0 ? ` · ${plural(one.notifications, "aviso enviado", "avisos enviados")}` : ""}${one.resolution ? ` · ${one.resolution}` : ""}
      ${executions.length > 0 && html` · ${executions.map((id, n) => html`${n ? ", " : ""}<a href=${hashOf(`/execucoes/${id}`)}>execução ${id}</a>`)}${one.execution_ids.length > 5 ? " e outras" : ""}`}</p>
      ${one.delivery_error && html`<p class="bad-text">Não entregue: ${one.delivery_error}</p>`}</div>
    <span class="row-end">${one.resolved_at ? html`resolvido <${When} moment=${one.resolved_at} />` : html`<${Badge} tone="bad">aberto<//>`}</span>
      </li>`;
}
