// What administrators were told, and whether it reaches them.
import { request } from "./api.js";
import { confirm } from "./actions.js";
import { plural } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html } from "./preact.js";
import { Ago, Badge, Button, Card, Empty, Skeleton, toast, Trouble, When } from "./ui.js";

export function Alerts() {
  const { data, error } = useLive("/sync/alerts", 20000);
  const test = () =>
    confirm({
      title: "Enviar um alerta de teste?",
      text: html`<p>Manda uma mensagem por todos os caminhos configurados (e-mail, webhook), para saber se chegam.</p>`,
      action: "Enviar teste",
      act: async () => {
        await request("POST", "/sync/alerts/test");
        toast("Alerta de teste enviado.");
      },
    });
  const missing = error?.status === 404;
  return html`<header class="view-head"><div><h1>Alertas</h1><p class="muted">Do primeiro aviso à recuperação.</p></div>
      <div class="head-actions">${!missing && html`<${Button} writes icon="bell" onClick=${test}>Enviar teste<//>`}</div></header>
    ${
      missing
        ? html`<${Card}><${Empty} title="Este servidor não tem alertas" icon="bell">Os problemas em aberto aparecem no painel.<//><//>`
        : !data
          ? error
            ? html`<${Trouble} error=${error} again=${() => refresh("/sync/alerts")} />`
            : html`<div class="card"><${Skeleton} lines=${5} /></div>`
          : html`<${List} alerts=${data.alerts} />`
    }`;
}

function List({ alerts }) {
  const open = alerts.filter((one) => !one.resolved_at);
  const past = alerts.filter((one) => one.resolved_at);
  return html`<${Card} id="open-alerts" title="Em aberto" aside=${html`<${Badge} tone=${open.length ? "bad" : "good"}>${open.length}<//>`}>
      ${open.length ? html`<ul class="rows">${open.map((one) => html`<${Alert} key=${one.id} one=${one} />`)}</ul>` : html`<${Empty} title="Nenhum alerta em aberto" icon="ok" />`}<//>
    ${past.length > 0 && html`<${Card} id="past-alerts" title="Resolvidos"><ul class="rows">${past.map((one) => html`<${Alert} key=${one.id} one=${one} />`)}</ul><//>`}`;
}

const Alert = ({ one }) => html`<li><div><strong>${one.summary}</strong><p class="muted"><span class="mono">${one.kind}</span> · aberto <${Ago} moment=${one.opened_at} />${one.notifications > 0 ? ` · ${plural(one.notifications, "aviso enviado", "avisos enviados")}` : ""}${one.delivery_error ? html` · <span class="bad-text">não entregue: ${one.delivery_error}</span>` : ""}</p></div>
  <span class="row-end">${one.resolved_at ? html`resolvido <${When} moment=${one.resolved_at} />` : html`<${Badge} tone="bad">aberto<//>`}</span></li>`;
