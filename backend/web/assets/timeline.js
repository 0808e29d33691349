// What ran when, as bars, and how late the mirror was meanwhile, one row for each resource.
import { withQuery } from "./api.js";
import { duration, integer, now, plural, roughly, timeOf, when } from "./format.js";
import { useLive } from "./live.js";
import { html, useState } from "./preact.js";
import { hashOf } from "./router.js";
import { Card, Empty, Skeleton } from "./ui.js";
import { BAR, MODE } from "./words.js";

const SPANS = [
  [24, "24 horas"],
  [168, "7 dias"],
];
const WIDTH = 1000;
const LANE = 14;
const LAG = 30;
const TICKS = 6;

export function TimelineCard({ busy }) {
  const [hours, choose] = useState(24);
  const [listed, list] = useState(false);
  const { data } = useLive(withQuery("/sync/timeline", { hours }), busy ? 10000 : 60000);
  return html`<${Card} id="timeline" title="Linha do tempo" aside=${html`<div class="chips" role="group" aria-label="Intervalo">${SPANS.map(
    ([value, name]) => html`<button type="button" class="chip small" key=${value} aria-pressed=${hours === value ? "true" : "false"} onClick=${() => choose(value)}>${name}</button>`,
  )}<button type="button" class="link" aria-expanded=${listed ? "true" : "false"} aria-label=${`Linha do tempo: ${listed ? "ver gráfico" : "ver números"}`} onClick=${() => list(!listed)}>${listed ? "gráfico" : "números"}</button></div>`}>
    ${
      !data
        ? html`<${Skeleton} height=${140} />`
        : data.resources.length
          ? listed
            ? html`<${Numbers} data=${data} />`
            : html`<${Chart} data=${data} />`
          : html`<${Empty} title="Nada correu neste intervalo" />`
    }<//>`;
}

// How late the mirror was: [{at, seconds}] at both sides of each jump, from `since` to `until`.
export function lagOf({ marks }, since, until) {
  const points = [];
  let reached = null;
  for (const mark of marks) {
    const at = Math.max(Date.parse(mark.at), since);
    if (reached !== null) points.push({ at, seconds: (at - reached) / 1000 });
    reached = Date.parse(mark.updated_until);
    points.push({ at, seconds: (at - reached) / 1000 });
  }
  if (reached !== null) points.push({ at: until, seconds: (until - reached) / 1000 });
  return points;
}

function Chart({ data }) {
  const since = Date.parse(data.since);
  const until = Math.max(now(), Date.parse(data.until));
  const x = (at) => (WIDTH * (Math.min(Math.max(at, since), until) - since)) / (until - since);
  const ticks = Array.from({ length: TICKS + 1 }, (_, n) => since + ((until - since) * n) / TICKS);
  const isLong = until - since > 2 * 86400000;
  return html`<div class="timeline">
    ${data.resources.map((one) => html`<${Row} key=${one.resource} one=${one} since=${since} until=${until} x=${x} />`)}
    <div class="timeline-axis" aria-hidden="true"><span></span><span class="ticks">${ticks.map((at, n) => html`<span key=${n}>${n === TICKS ? "agora" : isLong ? when(at).replace(/,.*/, "") : timeOf(at)}</span>`)}</span></div>
    <ul class="legend" aria-label="Legenda">${Object.entries(BAR).map(([state, text]) => html`<li key=${state}><span class="swatch ${state}" aria-hidden="true"></span>${text}</li>`)}<li><span class="swatch lag" aria-hidden="true"></span>atraso</li></ul>
  </div>`;
}

function Row({ one, since, until, x }) {
  const [pointed, point] = useState(null);
  const lag = lagOf(one, since, until);
  const most = Math.max(...lag.map((each) => each.seconds), 60);
  const modes = ["update", "backfill"].filter((mode) => one.bars.some((bar) => bar.mode === mode));
  const height = modes.length * LANE + (lag.length ? LAG : 0);
  const base = modes.length * LANE + LAG;
  const y = (seconds) => base - ((LAG - 6) * seconds) / most;
  const area = lag.length ? `M${x(lag[0].at)} ${base}${lag.map((each) => `L${x(each.at).toFixed(1)} ${y(each.seconds).toFixed(1)}`).join("")}L${x(until)} ${base}Z` : "";
  const late = lag.at(-1);
  return html`<section class="timeline-row" aria-label=${one.label}>
    <p class="timeline-name"><strong>${one.label}</strong><span class="muted small">${pointed ? textOf(pointed) : late ? `atraso ${roughly(late.seconds)} · máx. ${roughly(most)}` : "sem atualização"}</span></p>
    <svg class="gantt" viewBox=${`0 0 ${WIDTH} ${height}`} preserveAspectRatio="none" style=${{ height: `${height}px` }} role="img" aria-label=${summaryOf(one, most)} onMouseLeave=${() => point(null)}>
      ${modes.map((mode, lane) =>
        one.bars
          .filter((bar) => bar.mode === mode)
          .map((bar) => {
            const left = x(Date.parse(bar.started_at));
            const width = Math.max((bar.finished_at ? x(Date.parse(bar.finished_at)) : x(until)) - left, 2.5);
            return html`<rect key=${bar.first_id} class="run ${bar.state} ${pointed === bar ? "pointed" : ""}" x=${left.toFixed(1)} y=${lane * LANE + 2} width=${width.toFixed(1)} height=${LANE - 4} rx="1.5"
              onMouseEnter=${() => point(bar)} onClick=${() => open(bar)} />`;
          }),
      )}
      ${area && html`<path class="lag" d=${area} />`}
      <line class="axis" x1="0" x2=${WIDTH} y1=${height - 0.5} y2=${height - 0.5} />
    </svg></section>`;
}

const placeOf = (bar) =>
  bar.executions === 1 ? hashOf(`/execucoes/${bar.first_id}`) : hashOf("/historico", { resource: bar.resource, mode: bar.mode, cursor: bar.last_id + 1 });

const open = (bar) => {
  location.hash = placeOf(bar);
};

const textOf = (bar) =>
  `${bar.executions === 1 ? `${MODE[bar.mode]} ${bar.first_id}` : plural(bar.executions, "execução", "execuções")}: ${BAR[bar.state]}, ${when(bar.started_at)}, ${bar.finished_at ? duration((Date.parse(bar.finished_at) - Date.parse(bar.started_at)) / 1000) : "em andamento"}`;

function summaryOf(one, most) {
  const counts = {};
  for (const bar of one.bars) counts[bar.state] = (counts[bar.state] ?? 0) + bar.executions;
  const said = Object.entries(counts).map(([state, count]) => `${integer(count)} ${BAR[state]}`);
  return `${one.label}: ${said.join(", ")}; atraso de no máximo ${roughly(most)}.`;
}

const Numbers = ({ data }) => html`<div class="chart-table tall" tabindex="0" role="region" aria-label="Linha do tempo em números"><table>
  <caption class="unseen">O que correu, do mais novo ao mais antigo</caption>
  <tbody>${data.resources.flatMap((one) =>
    [...one.bars].reverse().map((bar) => html`<tr key=${`${one.resource} ${bar.first_id}`}><th scope="row">${one.label}</th><td><a href=${placeOf(bar)}>${textOf(bar)}</a></td></tr>`),
  )}</tbody></table></div>`;
