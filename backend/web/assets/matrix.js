// The slices of an execution: days across, modalidades down; the arrows walk from one to the other.
import { withQuery } from "./api.js";
import { integer, numericDay, shortDay, windowOf, when } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useMemo, useRef, useState } from "./preact.js";
import { refine, route } from "./router.js";
import { Dialog, Empty, Original, Skeleton, SliceState, Trouble } from "./ui.js";
import { adviceFor, CELL, meaningOf, modalidade } from "./words.js";

const MARKS = { success: "✓", rejected: "−", error: "!", running: "…", waiting: "◔", pending: "", cut_off: "×" };

export function Matrix({ execution }) {
  const path = `/sync/executions/${execution.id}/matrix`;
  const { data, error } = useLive(path, execution.status === "running" ? 8000 : 300000);
  const { query } = route.use();
  const counts = useMemo(() => countOf(data), [data]);
  if (!data) return error ? html`<${Trouble} error=${error} again=${() => refresh(path)} />` : html`<${Skeleton} height=${200} />`;
  if (!data.days.length) return html`<${Empty} title="Ainda sem fatias">Elas aparecem quando um ingestor planeja a execução.<//>`;
  return html`<ul class="legend" aria-label="Legenda">${Object.keys(CELL)
    .filter((state) => counts[state])
    .map((state) => html`<li key=${state}><span class="cell ${state}" aria-hidden="true">${MARKS[state]}</span>${CELL[state]} <strong>${integer(counts[state])}</strong></li>`)}</ul>
    <${Grid} data=${data} />
    ${query.dia && html`<${Slice} key=${`${query.dia} ${query.m}`} execution=${execution} day=${query.dia} part=${query.m} />`}`;
}

function countOf(data) {
  const counts = {};
  for (const day of data?.days ?? []) for (const state of day.states) if (state) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

const nameOf = (part) => (part === null ? "Todas as fatias" : modalidade(part));
const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

function Grid({ data }) {
  const [reached, reach] = useState(`0 ${data.days.length - 1}`);
  const box = useRef();
  useEffect(() => {
    box.current.scrollLeft = box.current.scrollWidth; // the newest days, which are read first
  }, []);
  const isWindow = data.days.length === 1 && data.days[0].first_day === data.days[0].last_day;
  const open = (target) => {
    const cell = target.closest?.("[data-at]");
    if (!cell?.dataset.day) return;
    reach(cell.dataset.at);
    refine({ dia: cell.dataset.day, m: cell.dataset.part });
  };
  const walk = (event) => {
    const at = event.target.dataset?.at;
    if (!at) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      open(event.target);
      return;
    }
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const [row, column] = at.split(" ").map(Number);
    const next = `${row + step[0]} ${column + step[1]}`;
    const cell = box.current.querySelector(`[data-at="${next}"]`);
    if (!cell) return;
    reach(next);
    cell.focus();
  };
  return html`<div class="matrix" ref=${box} onKeyDown=${walk} onClick=${(event) => open(event.target)}><table role="grid" aria-label="Fatias por dia e modalidade" aria-readonly="true">
    <thead><tr><th scope="col" class="corner"><span class="unseen">Modalidade</span></th>${data.days.map((day, n) => html`<th scope="col" key=${n}><span class="unseen">${numericDay(day.first_day)}</span>${(n % 7 === 0 || data.days.length < 8) && html`<span class="tick" aria-hidden="true">${shortDay(day.first_day)}</span>`}</th>`)}</tr></thead>
    <tbody>${data.modalidades.map(
      (part, row) => html`<tr key=${part ?? 0}><th scope="row" class=${isWindow ? "wide" : ""}>${nameOf(part)}</th>${data.days.map((day, column) => {
        const state = day.states[row];
        const at = `${row} ${column}`;
        return html`<td key=${column} role="gridcell" class="cell ${state ?? "none"}" data-at=${at} data-day=${state ? day.first_day : undefined} data-part=${part ?? ""} tabindex=${at === reached ? 0 : -1}
          aria-label=${state ? CELL[state] : "não pedida"} title=${`${shortDay(day.first_day)}, ${nameOf(part)}: ${state ? CELL[state] : "não pedida"}`}><span aria-hidden="true">${MARKS[state] ?? ""}</span></td>`;
      })}</tr>`,
    )}</tbody></table></div>`;
}

// One slice, or the several of its day
function Slice({ execution, day, part }) {
  const path = withQuery(`/sync/executions/${execution.id}/slices`, { day, modalidade: part, limit: 5 });
  const { data, error } = useLive(path, execution.status === "running" ? 3000 : 60000);
  const title = `${numericDay(day)}${part ? `, ${modalidade(Number(part))}` : ""}`;
  return html`<${Dialog} title=${title} onClose=${() => refine({ dia: "", m: "" })}>
    ${!data ? (error ? html`<${Trouble} error=${error} again=${() => refresh(path)} />` : html`<${Skeleton} lines=${4} />`) : data.slices.map((one) => html`<${Facts} key=${one.id} one=${one} />`)}
    <//>`;
}

function Facts({ one }) {
  const facts = [
    ["Janela", windowOf(one.window_start, one.window_end)],
    ["Páginas", one.pages_total == null ? integer(one.pages_done) : `${integer(one.pages_done)} de ${integer(one.pages_total)}`],
    ["Registros", `${integer(one.records_processed)}${one.total_registros == null ? "" : ` de ${integer(one.total_registros)}`}`],
    ["Rejeitados", integer(one.records_rejected)],
    ["Tentativas", integer(one.attempt)],
    ["Atualizada", when(one.updated_at)],
  ];
  return html`<div class="slice"><p><${SliceState} slice=${one} /> ${one.cause && html`<strong>${meaningOf(one)}</strong>`}</p>
    ${one.cause && adviceFor(one) && html`<p class="muted">${adviceFor(one)}</p>`}
    ${one.run_after && one.status === "pending" && html`<p class="note warn">Nova tentativa automática ${when(one.run_after)}.</p>`}
    <dl class="facts wide">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${one.error_message && html`<${Original} text=${one.error_message} />`}</div>`;
}

