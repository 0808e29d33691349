// What runs just now: how far, how fast, how much longer, and the button that stops it.
import { askCancel } from "./actions.js";
import { ago, duration, integer, percent, plural, rate, windowOf } from "./format.js";
import { observe, paceOf } from "./pace.js";
import { html } from "./preact.js";
import { hashOf } from "./router.js";
import { Button, Progress, State } from "./ui.js";
import { CRITERIO, kindOf, meaningOf } from "./words.js";

export function Running({ execution, at, detailed }) {
  observe(execution, at);
  const { progress, waiting } = execution;
  const pace = paceOf(execution);
  const name = `${kindOf(execution)} ${execution.id}`;
  return html`<article class="running" aria-label=${name}>
    ${
      !detailed &&
      html`<header><h3><a href=${hashOf(`/execucoes/${execution.id}`)}>${name}</a></h3>
        <${State} execution=${execution} />
      <span class="muted running-window">${execution.mode === "backfill" ? `${windowOf(execution.window_start, execution.window_end)}, ${CRITERIO[execution.criterio]}` : "o que mudou"}</span>
      <${Button} writes kind="small" icon="stop" onClick=${() => askCancel(execution)}>Cancelar<//></header>`
    }
    <div class="running-bar">
      <${Progress} value=${progress.percent} waits=${execution.phase === "waiting"} label=${`Andamento da execução ${execution.id}`} />
      <strong class="running-percent">${percent(progress.percent)}</strong></div>
    <dl class="facts">
      <div><dt>Falta</dt><dd>${leftOf(execution, pace)}</dd></div>
      <div><dt>Registros</dt>
        <dd>${integer(execution.records_processed)} <span class="muted">${rate(pace.records)}/s</span></dd></div>
      <div><dt>Fatias</dt><dd>${integer(progress.slices_done)} de ${integer(progress.slices_total)} <span class="muted">${rate(pace.slices)}/s</span>
        </dd></div>
      <div><dt>Há</dt><dd>${duration(execution.duration_seconds)}</dd></div>
    </dl>
    ${progress.slices_failed > 0 && html`<p class="note bad">${plural(progress.slices_failed, "fatia falhou", "fatias falharam")}; o resto continua.</p>`}
    ${waiting && html`<p class="note warn">${meaningOf(waiting)}; ${plural(waiting.slices, "fatia terá", "fatias terão")} nova tentativa automática ${ago(waiting.next_try_at)}.</p>`}
  </article>`;
}

function leftOf(execution, pace) {
  if (execution.phase === "queued") return "na fila";
  if (execution.phase === "waiting") return "aguardando";
  return pace.left === null
    ? "calculando…"
    : `≈ ${duration(Math.max(pace.left, 1) < 10 ? Math.ceil(pace.left) : pace.left)}`;
}
