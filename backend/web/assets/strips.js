// Years as strips, a row for each and a mark for each day. Days are chosen by mouse, by touch and by keyboard.
import { addDays, dayOf, integer, numericDay, plural, spokenDay } from "./format.js";
import { html, useMemo, useRef } from "./preact.js";
import { COVERAGE } from "./words.js";

const DAY = 86400000;
const HEIGHT = 22;
const MONTHS = ["jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set", "out", "nov", "dez"];
const LEAP = 366;

export const daysBetween = (first, last) => Math.round((dayOf(last) - dayOf(first)) / DAY) + 1;
const offsetIn = (day) => Math.round((dayOf(day) - dayOf(`${day.slice(0, 4)}-01-01`)) / DAY);

// The state of a day, from spans in order
export const stateOf = (spans, day) => spans.find((span) => span.first_day <= day && day <= span.last_day)?.state ?? "never";

// Spans cut at the turn of each year, newest year first: [{year, spans}]
export function yearsOf(spans) {
  const years = new Map();
  for (const span of spans) {
    for (let year = Number(span.first_day.slice(0, 4)); year <= Number(span.last_day.slice(0, 4)); year += 1) {
      const first = `${year}-01-01` > span.first_day ? `${year}-01-01` : span.first_day;
      const last = `${year}-12-31` < span.last_day ? `${year}-12-31` : span.last_day;
      years.set(year, [...(years.get(year) ?? []), { state: span.state, first_day: first, last_day: last }]);
    }
  }
  return [...years].map(([year, own]) => ({ year, spans: own })).sort((a, b) => b.year - a.year);
}

// `chosen`: {first, last} or null; `at`: the day that the keyboard stands on
export function Strips({ spans, chosen, choose, at, move }) {
  const years = useMemo(() => yearsOf(spans), [spans]);
  const began = useRef(null);
  const [first, last] = [spans[0].first_day, spans.at(-1).last_day];
  const within = (day) => (day < first ? first : day > last ? last : day);

  const dayAt = (event) => {
    const row = event.target.closest?.("[data-year]") ?? document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-year]");
    if (!row) return null;
    const box = row.getBoundingClientRect();
    const n = Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * LEAP), 0), LEAP - 1);
    const day = addDays(`${row.dataset.year}-01-01`, n);
    return within(day.startsWith(row.dataset.year) ? day : `${row.dataset.year}-12-31`);
  };
  const start = (event) => {
    const day = dayAt(event);
    if (!day) return;
    began.current = event.shiftKey && chosen ? chosen.first : day;
    move(day);
    choose(ordered(began.current, day));
  };
  const drag = (event) => {
    const day = began.current && event.buttons ? dayAt(event) : null;
    if (!day) return;
    move(day);
    choose(ordered(began.current, day));
  };
  const walk = (event) => {
    const next = stepFrom(at, event.key);
    if (event.key === "Escape" && chosen) {
      choose(null);
      event.stopPropagation();
      return;
    }
    if (!next) return;
    event.preventDefault();
    const day = within(next);
    const anchor = chosen ? (chosen.first === at ? chosen.last : chosen.first) : at;
    move(day);
    choose(event.shiftKey ? ordered(anchor, day) : { first: day, last: day });
  };
  const index = daysBetween(first, at) - 1;
  const said = `${spokenDay(at)}: ${COVERAGE[stateOf(spans, at)]}${chosen && chosen.first !== chosen.last ? `; escolhidos ${textOf(chosen)}` : ""}`;
  return html`<div class="strips" role="slider" tabindex="0" aria-label="Dias; com Shift e as setas escolhe-se um período" aria-valuemin="0" aria-valuemax=${daysBetween(first, last) - 1} aria-valuenow=${index} aria-valuetext=${said}
      onKeyDown=${walk} onPointerDown=${start} onPointerMove=${drag} onPointerUp=${() => (began.current = null)}>
    <div class="strip-row months-row" aria-hidden="true"><span></span><div class="month-names">${MONTHS.map((name) => html`<span key=${name}>${name}</span>`)}</div><span></span></div>
    ${years.map(({ year, spans: own }) => {
      const complete = own.filter((span) => span.state === "complete").reduce((sum, span) => sum + daysBetween(span.first_day, span.last_day), 0);
      const known = own.reduce((sum, span) => sum + daysBetween(span.first_day, span.last_day), 0);
      return html`<div class="strip-row" key=${year} aria-hidden="true"><span class="year">${year}</span>
        <svg class="year-strip" data-year=${year} viewBox=${`0 0 ${LEAP} ${HEIGHT}`} preserveAspectRatio="none">
          ${own.map((span) => html`<rect key=${span.first_day} class="day-span ${span.state}" x=${offsetIn(span.first_day)} y="0" width=${daysBetween(span.first_day, span.last_day)} height=${HEIGHT} />`)}
          ${last.startsWith(String(year)) && stateOf(spans, last) === "partial" && html`<rect class="day-span open" x=${offsetIn(last)} y="0" width="1" height=${HEIGHT} />`}
          ${chosen && html`<${Chosen} year=${String(year)} chosen=${chosen} />`}
          ${at.startsWith(String(year)) && html`<rect class="at" x=${offsetIn(at) - 0.5} y="0" width="2" height=${HEIGHT} />`}
        </svg><span class="muted small">${integer(complete)}/${integer(known)}</span></div>`;
    })}
  </div>`;
}

function Chosen({ year, chosen }) {
  const first = chosen.first > `${year}-01-01` ? chosen.first : `${year}-01-01`;
  const last = chosen.last < `${year}-12-31` ? chosen.last : `${year}-12-31`;
  if (first > last) return null;
  return html`<rect class="chosen" x=${offsetIn(first)} y="0.75" width=${daysBetween(first, last)} height=${HEIGHT - 1.5} />`;
}

const ordered = (a, b) => (a <= b ? { first: a, last: b } : { first: b, last: a });

export const textOf = ({ first, last }) => (first === last ? numericDay(first) : `${numericDay(first)} a ${numericDay(last)} (${plural(daysBetween(first, last), "dia", "dias")})`);

function stepFrom(day, key) {
  const days = { ArrowRight: 1, ArrowLeft: -1, PageDown: 30, PageUp: -30 }[key];
  if (days) return addDays(day, days);
  if (key === "ArrowUp" || key === "ArrowDown") {
    const year = Number(day.slice(0, 4)) + (key === "ArrowUp" ? 1 : -1); // the newest year is on top
    return `${year}-${day.slice(5) === "02-29" ? "02-28" : day.slice(5)}`;
  }
  if (key === "Home") return `${day.slice(0, 4)}-01-01`;
  if (key === "End") return `${day.slice(0, 4)}-12-31`;
  return null;
}

