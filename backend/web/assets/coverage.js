// Coverage: of each day whether the mirror has it whole, in part, not at all; days can be loaded and kept complete.
import { newKey, withQuery } from "./api.js";
import { start, whatWentWrong } from "./actions.js";
import { askBackfill, bodyOf } from "./backfill.js";
import { addDays, dayOf, integer, numericDay, plural, shortDay, spokenDay, spokenMonth, today, when } from "./format.js";
import { askGoal, FIRST_DAY, Goals } from "./goals.js";
import { refresh, useLive } from "./live.js";
import { ResourceChoice, resourceOf, useResources } from "./resources.js";
import { html, useMemo, useRef, useState } from "./preact.js";
import { hashOf, refine, route } from "./router.js";
import { Badge, Button, Card, Dialog, Skeleton, Trouble } from "./ui.js";
import { daysBetween, stateOf, Strips, textOf } from "./strips.js";
import { COVERAGE, meaningOf, modalidade } from "./words.js";

export const MARKS = { complete: "✓", rejected: "−", partial: "◐", failed: "!", running: "…", never: "" };
const BADGES = { complete: "good", rejected: "warn", partial: "warn", failed: "bad", running: "busy", never: "quiet" };
const WEEKDAYS = ["dom", "seg", "ter", "qua", "qui", "sex", "sáb"];
const WEEKDAY_NAMES = [
  "domingo",
  "segunda-feira",
  "terça-feira",
  "quarta-feira",
  "quinta-feira",
  "sexta-feira",
  "sábado",
];
const MONTHS = 12;
const DAY_OF = { publicacao: "de publicação", atualizacao: "em que algo foi incluído ou alterado" };

function addMonths(month, count) {
  const date = new Date(Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5, 7)) - 1 + count, 1));
  return date.toISOString().slice(0, 7);
}

const lastDayOf = (month) => addDays(`${addMonths(month, 1)}-01`, -1);

export function Coverage() {
  const { query } = route.use();
  const thisMonth = today().slice(0, 7);
  const resources = useResources();
  const resource = resourceOf(resources, query.recurso);
  const only = resource.is_divided ? query.modalidade : "";
  const last = /^\d{4}-\d{2}$/.test(query.ate ?? "") && query.ate < thisMonth ? query.ate : thisMonth;
  return html`<header class="view-head"><div><h1>Cobertura</h1>
    <p class="muted">${resource.label}: o que o espelho tem de cada dia ${DAY_OF[resource.criterios[0]]}.</p></div>
      <div class="head-actions"><${Button} writes icon="calendar" onClick=${() => askBackfill({ resource: resource.name })}>Carregar período<//>
        </div></header>
    <${Goals} />
    <${Years} key=${`${resource.name} ${only}`} resource=${resource} resources=${resources} only=${only} last=${last} />
    ${query.dia && html`<${Day} key=${query.dia} day=${query.dia} only=${only} resource=${resource} />`}`;
}

const spansOf = (resource, only) => withQuery("/sync/coverage/spans", { resource: resource.name, modalidade: only });

// All years as strips, what to do with the days that are chosen there, and twelve months as a calendar.
function Years({ resource, resources, only, last }) {
  const { query } = route.use();
  const path = spansOf(resource, only);
  const { data, error } = useLive(path, (answer) => (answer?.spans.some((one) => one.state === "running") ? 6000 : 60000));
  const [chosen, choose] = useState(null);
  const [at, move] = useState(today());
  const counts = useMemo(() => countOf(data), [data]);
  const [known, setKnown] = useState([]);
  if (data?.modalidades.length && !only && known !== data.modalidades) setKnown(data.modalidades);
  const modalidades = known.length ? known : Array.from({ length: 19 }, (_, n) => n + 1);
  return html`<${Card} id="years" title="Todos os anos">
      <div class="filters calendar-tools">
        <${ResourceChoice} resources=${resources} value=${resource.name} change=${(name) => refine({ recurso: name, modalidade: "", dia: "" })} />
        ${resource.is_divided && html`<label>Modalidade<select name="modalidade" value=${query.modalidade ?? ""} onChange=${(event) => refine({ modalidade: event.target.value })}>
          <option value="">Todas</option>${modalidades.map((id) => html`<option key=${id} value=${id}>${modalidade(id)}</option>`)}</select>
            </label>`}
        <ul class="legend" aria-label="Legenda">${Object.keys(COVERAGE).map(
          (
            state,
          ) => html`<li key=${state}><span class="cell ${state}" aria-hidden="true">${MARKS[state]}</span>${COVERAGE[state]} <strong>${data ? integer(counts[state] ?? 0) : "–"}</strong>
          </li>`,
        )}</ul>
      </div>
      ${!data ? (error ? html`<${Trouble} error=${error} again=${() => refresh(path)} />` : html`<${Skeleton} height=${160} />`) : html`<${Strips} spans=${data.spans} chosen=${chosen} choose=${choose} at=${at} move=${move} />
        <${Chosen} chosen=${chosen} choose=${choose} at=${at} spans=${data.spans} resource=${resource} />`}
    <//>
    <${Months} resource=${resource} only=${only} last=${last} />`;
}

// The days that are chosen, as fields too, and what can be done with them.
function Chosen({ chosen, choose, at, spans, resource }) {
  const { first, last } = chosen ?? { first: "", last: "" };
  // the other end goes along where it would lie on the wrong side
  const change = (name) => ({ target: { value } }) => {
    if (!value) return;
    const given = { first: first || value, last: last || value, [name]: value };
    choose(given.first <= given.last ? given : { first: value, last: value });
  };
  const isOne = chosen && first === last;
  return html`<div class="chosen-days"><div class="filters">
      <label>De<input type="date" name="chosen-first" value=${first} min=${FIRST_DAY} max=${today()} onChange=${change("first")} /></label>
      <label>Até<input type="date" name="chosen-last" value=${last} min=${FIRST_DAY} max=${today()} onChange=${change("last")} /></label>
      <${Button} writes kind="primary" disabled=${chosen ? "" : "Escolha dias na faixa ou nos campos"} onClick=${() => askBackfill({ first, last, resource: resource.name })}>Carregar este período<//>
      <${Button} writes disabled=${chosen ? "" : "Escolha dias na faixa ou nos campos"} onClick=${() => askGoal({ resource: resource.name, from: first })}>${chosen ? `Manter completo desde ${numericDay(first)}` : "Manter completo desde…"}<//>
      ${isOne && html`<${Button} onClick=${() => refine({ dia: first })}>Ver o dia<//>`}
      ${chosen && html`<${Button} kind="small" icon="close" onClick=${() => choose(null)}>Limpar<//>`}</div>
    <p class="muted small" aria-live="polite">${chosen ? `${textOf(chosen)}${isOne ? `: ${COVERAGE[stateOf(spans, first)]}` : ""}` : "Arraste na faixa para escolher dias; no teclado, as setas andam e Shift escolhe."}</p></div>`;
}

function Months({ resource, only, last }) {
  const thisMonth = today().slice(0, 7);
  const first = addMonths(last, 1 - MONTHS);
  const path = withQuery("/sync/coverage", { from: `${first}-01`, to: last === thisMonth ? today() : lastDayOf(last), resource: resource.name, modalidade: only });
  const { data, error } = useLive(path, (answer) => (answer?.days.some((one) => one.state === "running") ? 6000 : 60000));
  const months = Array.from({ length: MONTHS }, (_, n) => addMonths(last, -n)); // the newest first, it is the one that matters
  return html`<${Card} id="months" title="Doze meses" aside=${html`<div class="span-buttons">
      <${Button} kind="small" icon="previous" onClick=${() => refine({ ate: addMonths(last, -MONTHS) })} disabled=${first <= "2021-01" ? "O PNCP começa em 2021" : ""}>12 meses antes<//>
      <${Button} kind="small icon-last" icon="next" onClick=${() => refine({ ate: addMonths(last, MONTHS) > thisMonth ? "" : addMonths(last, MONTHS) })} disabled=${last === thisMonth ? "Este é o período mais novo" : ""}>12 meses depois<//></div>`}>
    ${!data ? (error ? html`<${Trouble} error=${error} again=${() => refresh(path)} />` : html`<${Skeleton} height=${420} />`) : html`<${Calendar} months=${months} days=${data.days} resource=${resource} />`}<//>`;
}

function countOf(data) {
  const counts = {};
  for (const one of data?.spans ?? []) counts[one.state] = (counts[one.state] ?? 0) + daysBetween(one.first_day, one.last_day);
  return counts;
}

// One stop for the tabulator; the arrows walk from day to day.
function Calendar({ months, days, resource }) {
  const byDay = new Map(days.map((one) => [one.day, one]));
  const [reached, reach] = useState(days.at(-1).day);
  const box = useRef();
  const walk = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 7, ArrowUp: -7 }[event.key];
    const from = event.target.dataset?.day;
    if (!step || !from) return;
    event.preventDefault();
    const next = addDays(from, step);
    if (!byDay.has(next)) return;
    reach(next);
    box.current.querySelector(`[data-day="${next}"]`)?.focus();
  };
  const stop = byDay.has(reached) ? reached : days.at(-1).day;
  return html`<div class="months" ref=${box} onKeyDown=${walk}>${months.map((month) => html`<${Month} key=${month} month=${month} resource=${resource} byDay=${byDay} stop=${stop} reach=${reach} />`)}</div>`;
}

function Month({ month, resource, byDay, stop, reach }) {
  const first = `${month}-01`;
  const length = Number(lastDayOf(month).slice(8));
  const offset = dayOf(first).getUTCDay();
  const weeks = Array.from({ length: Math.ceil((offset + length) / 7) }, (_, week) =>
    Array.from({ length: 7 }, (_, weekday) => week * 7 + weekday - offset + 1),
  );
  const own = Array.from({ length }, (_, n) => byDay.get(`${month}-${String(n + 1).padStart(2, "0")}`)).filter(Boolean);
  const missing = own.filter((one) => one.state !== "complete" && !isOpen(one));
  return html`<section class="month" aria-label=${spokenMonth(month)}>
    <header><h2>${spokenMonth(month)}</h2>${own.length > 0 && html`<span class="muted">${own.length - missing.length}/${own.length}</span>`}
    ${missing.length > 0 && html`<${Button} writes kind="ghost-text" label=${`Completar ${spokenMonth(month)}`} onClick=${() => askBackfill({ first: missing[0].day, last: missing.at(-1).day, resource: resource.name })}>completar<//>`}</header>
    <table><caption class="unseen">Cobertura de ${spokenMonth(month)}</caption><thead>
      <tr>${WEEKDAYS.map(
        (
          name,
          n,
        ) => html`<th scope="col" key=${name} abbr=${WEEKDAY_NAMES[n]}>${name[0]}<span class="unseen">${name.slice(1)}</span>
      </th>`,
      )}</tr></thead>
      <tbody>${weeks.map(
        (week, n) =>
          html`<tr key=${n}>${week.map((number) => {
            const iso = `${month}-${String(number).padStart(2, "0")}`;
            const one = number >= 1 && number <= length ? byDay.get(iso) : null;
            if (!one)
              return html`<td key=${number} class="off">${number >= 1 && number <= length ? html`<span class="cell future" aria-hidden="true">${number}</span>` : ""}</td>`;
            return html`<td key=${number}><button type="button" class="cell ${isOpen(one) ? "open" : one.state} ${iso === today() ? "today" : ""}" data-day=${iso} tabindex=${iso === stop ? 0 : -1} onFocus=${() => reach(iso)}
          aria-label=${`${spokenDay(iso)}: ${sayOf(one)}`} title=${hintOf(one)} onClick=${() => refine({ dia: iso })}><span class="number">${number}</span>
            <span class="mark" aria-hidden="true">${isOpen(one) ? "" : MARKS[one.state]}</span></button></td>`;
          })}</tr>`,
      )}</tbody></table></section>`;
}

// A day that is not over cannot be complete, which is no fault of it.
const isOpen = (one) => one.day === today() && one.state === "partial";
const sayOf = (one) => (isOpen(one) ? "ainda aberto" : COVERAGE[one.state]);

function hintOf(one) {
  const told = one.total_registros == null ? "" : ` de ${integer(one.total_registros)}`;
  const rejected = one.records_rejected ? `, ${plural(one.records_rejected, "rejeitado", "rejeitados")}` : "";
  return `${shortDay(one.day)}: ${sayOf(one)}${one.state === "never" ? "" : ` — ${integer(one.records)}${told} registros${rejected}`}`;
}

function Day({ day, only, resource }) {
  const valid = /^\d{4}-\d{2}-\d{2}$/.test(day);
  const path = valid ? withQuery("/sync/coverage", { from: day, to: day, detail: true, resource: resource.name, modalidade: only }) : null;
  const { data, error } = useLive(path, (answer) => (answer?.days[0].state === "running" ? 2500 : 30000));
  const [busy, setBusy] = useState(false);
  const [trouble, tell] = useState("");
  const key = useRef(newKey());
  const { data: all } = useLive(only ? null : spansOf(resource, only), 60000);
  const one = data?.days[0];
  const close = () => refine({ dia: "" });
  const seen = new Set(one?.modalidades.map((each) => each.modalidade));
  const missing = resource.is_divided ? (all?.modalidades ?? []).filter((id) => !seen.has(id)) : [];
  const state = one && missing.length && ["complete", "rejected"].includes(one.state) ? "partial" : one?.state;
  const load = async () => {
    setBusy(true);
    tell("");
    try {
      await start({ body: bodyOf(day, day, resource.criterios[0], resource.name), key: key.current });
      key.current = newKey();
    } catch (failure) {
      tell(whatWentWrong(failure));
    }
    setBusy(false);
  };
  const adjust = () => {
    close();
    askBackfill({ first: day, last: day, resource: resource.name });
  };
  if (!valid) return null;
  return html`<${Dialog} title=${spokenDay(day)} onClose=${close}>
    ${
      !one
        ? error
          ? html`<${Trouble} error=${error} again=${() => refresh(path)} />`
          : html`<${Skeleton} lines=${5} />`
        : html`<p class="day-summary">
          <${Badge} tone=${isOpen(one) ? "quiet" : BADGES[state]}>${sayOf({ ...one, state })}<//> <span>${one.state === "never" ? "Nada foi pedido para este dia." : sentenceOf(one, missing.length, resource)}</span>
          </p>
        ${day === today() && html`<p class="note">O dia ainda não acabou: até amanhã ele fica parcial, e a varredura da noite o completa.</p>`}
        ${
          one.modalidades.length > 0 &&
          html`<ul class="rows day-rows">${one.modalidades.map(
            (each) => html`<li key=${each.modalidade}><div><span>${resource.is_divided ? modalidade(each.modalidade) : resource.label}</span>
              <p class="muted">${each.cause && each.state !== "complete" ? meaningOf(each) : each.finished_at ? `lida ${when(each.finished_at)}` : ""} ${each.execution_id != null && html`<a href=${hashOf(`/execucoes/${each.execution_id}`)}>execução ${each.execution_id}</a>`}
              </p></div>
          <span class="row-end">${integer(each.records)}${each.total_registros != null ? html`<span class="muted"> de ${integer(each.total_registros)}</span>` : ""} <${Badge} tone=${BADGES[each.state]}>${COVERAGE[each.state]}<//>
            </span></li>`,
          )}</ul>`
        }
        ${missing.length > 0 && one.state !== "never" && html`<p class="note warn">Nunca pedidas neste dia: ${missing.map(modalidade).join(", ")}.</p>`}`
    }
    <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
    <div class="dialog-actions"><${Button} writes onClick=${adjust}>Ajustar antes<//>
      <${Button} writes kind="primary" icon="calendar" busy=${busy} disabled=${one?.state === "running" ? "Este dia já está sendo lido" : ""} onClick=${load}>${["complete", "rejected"].includes(state) ? "Ler de novo" : "Carregar este dia"}<//>
        </div>
  <//>`;
}

function sentenceOf(one, missing, resource) {
  if (!resource.is_divided) return `${plural(one.records, "registro", "registros")}${rejectedOf(one)}.`;
  const parts = [
    one.complete && plural(one.complete, "modalidade completa", "modalidades completas"),
    one.rejected && `${integer(one.rejected)} com rejeitados`,
    one.partial && plural(one.partial, "parcial", "parciais"),
    one.failed && `${integer(one.failed)} com falha`,
    one.running && `${integer(one.running)} em andamento`,
    missing && plural(missing, "nunca pedida", "nunca pedidas"),
  ].filter(Boolean);
  return `${parts.join(", ")}; ${plural(one.records, "registro", "registros")}${rejectedOf(one)}.`;
}

const rejectedOf = (one) =>
  one.records_rejected ? `, ${plural(one.records_rejected, "rejeitado", "rejeitados")}` : "";
