// When synchronisations start by themselves, and how to hold or move that.
import { askCron, askPause, askResume } from "./actions.js";
import { when } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html } from "./preact.js";
import { hashOf } from "./router.js";
import { Ago, Badge, Button, Card, Skeleton, Trouble, When } from "./ui.js";
import { schedule, who } from "./words.js";

export function Schedules() {
  const { data, error } = useLive("/sync/schedules", 15000);
  return html`<header class="view-head"><div><h1>Agenda</h1>
    <p class="muted">O que começa sozinho, no horário de Brasília.</p></div></header>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${() => refresh("/sync/schedules")} />`
          : html`<div class="card"><${Skeleton} lines=${6} /></div>`
        : html`
      ${data.schedules.some((one) => !one.enabled) && html`<p class="note warn">A agenda está desligada neste servidor (SCHEDULE_ENABLED=false): nada começa sozinho.</p>`}
      <div class="two-cards">${data.schedules.map((one) => html`<${Schedule} key=${one.name} one=${one} />`)}</div>`
    }`;
}

function Schedule({ one }) {
  const { name, what } = schedule(one);
  const state = one.paused ? ["warn", "em pausa"] : one.enabled ? ["good", "ativa"] : ["quiet", "desligada"];
  return html`<${Card} id=${`schedule-${one.name}`} title=${name} aside=${html`<${Badge} tone=${state[0]}>${state[1]}<//>`}>
    <p class="muted">${what}</p>
    ${
      one.paused &&
      html`<p class="note warn">“${one.pause_reason}” — ${who(one.paused_by)}, <${Ago} moment=${one.paused_at} />
      </p>`
    }
    <dl class="facts wide">
      <div><dt>Cron</dt><dd><code>${one.cron}</code>${
        one.cron !== one.default_cron &&
        html` <span class="muted small">configuração: <code>${one.default_cron}</code>
        </span>`
      }</dd></div>
      <div><dt>Última vez</dt>
        <dd>${one.last_tick ? html`<${When} moment=${one.last_tick.due_at} />` : "ainda não executou"}</dd></div>
      <div><dt>Resultado</dt><dd>${resultOf(one.last_tick)}</dd></div>
      ${
        one.updated_by &&
        html`<div><dt>Mudada</dt><dd>${who(one.updated_by)}, <${Ago} moment=${one.updated_at} />
        </dd></div>`
      }
    </dl>
    <h3 class="minor">Próximas vezes</h3>
    <ol class="runs ${one.paused || !one.enabled ? "idle" : ""}">${one.next_runs.map((run) => html`<li key=${run}>${when(run)}</li>`)}</ol>
    <div class="card-actions">
      ${one.paused ? html`<${Button} writes kind="primary" icon="play" label=${`Retomar: ${name}`} onClick=${() => askResume(one, name)}>Retomar<//>` : html`<${Button} writes icon="pause" label=${`Pausar: ${name}`} onClick=${() => askPause(one, name)}>Pausar<//>`}
      <${Button} writes icon="clock" label=${`Mudar horário: ${name}`} onClick=${() => askCron(one, name)}>Mudar horário<//>
    </div><//>`;
}

function resultOf(last) {
  if (!last) return "—";
  if (last.skipped_reason) return `não executou: ${last.skipped_reason}`;
  return last.execution_ids.map(
    (id, n) => html`${n ? ", " : ""}<a href=${hashOf(`/execucoes/${id}`)}>execução ${id}</a>`,
  );
}
