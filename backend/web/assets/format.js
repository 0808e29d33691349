// Numbers, dates and durations as people in Brazil read them, on Brasília's clock.
const ZONE = "America/Sao_Paulo";
const integers = new Intl.NumberFormat("pt-BR", { maximumFractionDigits: 0 });
const decimals = new Intl.NumberFormat("pt-BR", { maximumFractionDigits: 1 });
const compacts = new Intl.NumberFormat("pt-BR", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("pt-BR", { timeZone: ZONE, hour: "2-digit", minute: "2-digit" });
const preciseClock = new Intl.DateTimeFormat("pt-BR", {
  timeZone: ZONE,
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const dayAndMonth = new Intl.DateTimeFormat("pt-BR", { timeZone: ZONE, day: "2-digit", month: "2-digit" });
const fullDay = new Intl.DateTimeFormat("pt-BR", { timeZone: ZONE, day: "2-digit", month: "2-digit", year: "numeric" });
const isoDay = new Intl.DateTimeFormat("en-CA", { timeZone: ZONE, year: "numeric", month: "2-digit", day: "2-digit" });
const longDay = new Intl.DateTimeFormat("pt-BR", {
  timeZone: "UTC",
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
});
const monthName = new Intl.DateTimeFormat("pt-BR", { timeZone: "UTC", month: "long", year: "numeric" });

// How far the server's clock is ahead of this machine's, in milliseconds.
let ahead = 0;

export function setServerTime(header) {
  const told = Date.parse(header ?? "");
  if (Number.isFinite(told) && Math.abs(told - Date.now() - ahead) > 2000) ahead = told - Date.now();
}

export const now = () => Date.now() + ahead;

export const integer = (value) => (value == null ? "—" : integers.format(value));
export const decimal = (value) => (value == null ? "—" : decimals.format(value));
export const compact = (value) =>
  value == null ? "—" : value < 10000 ? integers.format(value) : compacts.format(value);
export const percent = (value) => (value == null ? "—" : `${decimals.format(value)}%`);
export const plural = (count, one, many) => `${integer(count)} ${count === 1 ? one : many}`;

// One rate: three figures at most, so that it does not jump.
export function rate(value) {
  if (value == null || !Number.isFinite(value)) return "—";
  return value >= 10 ? integers.format(value) : decimals.format(value);
}

export const today = () => isoDay.format(now());
export const timeOf = (moment) => clock.format(new Date(moment));
export const preciseTimeOf = (moment) => preciseClock.format(new Date(moment));

// "hoje, 10:30", "ontem, 01:00", "20/11, 10:30", "20/11/2024, 10:30"
export function when(moment) {
  if (moment == null) return "—";
  const date = new Date(moment);
  const day = isoDay.format(date);
  const time = clock.format(date);
  if (day === today()) return `hoje, ${time}`;
  if (day === isoDay.format(now() - 86400000)) return `ontem, ${time}`;
  if (day === isoDay.format(now() + 86400000)) return `amanhã, ${time}`;
  const near = Math.abs(date - now()) < 300 * 86400000;
  return `${(near ? dayAndMonth : fullDay).format(date)}, ${time}`;
}

export const exactly = (moment) =>
  moment == null ? "" : `${fullDay.format(new Date(moment))} ${preciseClock.format(new Date(moment))} (Brasília)`;

// A day of the calendar, "2026-11-22"
export const dayOf = (iso) => new Date(`${iso}T00:00:00Z`);
export const shortDay = (iso) => `${iso.slice(8, 10)}/${iso.slice(5, 7)}`;
export const numericDay = (iso) => `${iso.slice(8, 10)}/${iso.slice(5, 7)}/${iso.slice(0, 4)}`;
export const spokenDay = (iso) => longDay.format(dayOf(iso));
export const spokenMonth = (iso) => monthName.format(dayOf(`${iso.slice(0, 7)}-01`));
export const shortMonth = (iso) => `${iso.slice(5, 7)}/${iso.slice(0, 4)}`;
export const addDays = (iso, days) => new Date(dayOf(iso).getTime() + days * 86400000).toISOString().slice(0, 10);

// A window on Brasília's wall clock: whole days as days.
export function windowOf(start, end) {
  if (!start || !end) return "—";
  const [first, last] = [start.slice(0, 10), end.slice(0, 10)];
  const whole = start.endsWith("T00:00:00") && end.endsWith("T23:59:59");
  if (whole) return first === last ? numericDay(first) : `${numericDay(first)} a ${numericDay(last)}`;
  const from = `${shortDay(first)} ${start.slice(11, 16)}`;
  return first === last ? `${from}–${end.slice(11, 16)}` : `${from} a ${shortDay(last)} ${end.slice(11, 16)}`;
}

// "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "—";
  if (seconds < 10) return `${decimals.format(Math.max(seconds, 0))} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return join(Math.floor(s / 60), "min", s % 60, "s");
  const minutes = Math.round(s / 60);
  if (minutes < 1440) return join(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return join(Math.floor(hours / 24), "d", hours % 24, "h");
}

const join = (a, unit, b, lesser) => (b ? `${a} ${unit} ${b} ${lesser}` : `${a} ${unit}`);

// The same, rough: "3 min", "2 h", "5 dias"
export function roughly(seconds) {
  const s = Math.abs(seconds);
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} dias`;
}

export const ago = (moment) => (moment == null ? "nunca" : sinceNow((now() - Date.parse(moment)) / 1000));

function sinceNow(seconds) {
  if (Math.abs(seconds) < 5) return "agora";
  return seconds >= 0 ? `há ${roughly(seconds)}` : `em ${roughly(seconds)}`;
}

/** A size in bytes, in the largest unit that leaves a whole number before the point. */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), units.length - 1);
  const shown = (value / 1000 ** power).toLocaleString("pt-BR", { maximumFractionDigits: power > 2 ? 1 : 0 });
  return `${shown} ${units[power]}`;
}

const reais = new Intl.NumberFormat("pt-BR", { style: "currency", currency: "BRL" });
const shortReais = new Intl.NumberFormat("pt-BR", { style: "currency", currency: "BRL", notation: "compact", maximumFractionDigits: 1 });
const preciseReais = new Intl.NumberFormat("pt-BR", { style: "currency", currency: "BRL", minimumFractionDigits: 2, maximumFractionDigits: 4 });
const quantities = new Intl.NumberFormat("pt-BR", { maximumFractionDigits: 4 });

// An amount in reais: a number, or a decimal as text, of which no digit is lost.
export const money = (value) => (value == null ? "—" : reais.format(value));
export const shortMoney = (value) => (value == null ? "—" : shortReais.format(value));
export const price = (value) => (value == null ? "—" : preciseReais.format(value));
export const quantity = (value) => (value == null ? "—" : quantities.format(value));

// A moment on Brasília's wall clock, as the mirror has those of the portal: "2026-11-18T13:15:50"
export const toWall = (moment) => `${isoDay.format(new Date(moment))}T${preciseClock.format(new Date(moment))}`;

// Brasília's wall clock as the mirror has it, without a zone: "2026-11-18T13:15:50"
export const wallDay = (moment) => (moment == null ? "—" : numericDay(moment));
export const wallTime = (moment) => {
  if (moment == null) return "—";
  const time = moment.slice(11, 16);
  return time && time !== "00:00" ? `${numericDay(moment)}, ${time}` : numericDay(moment);
};

export const cnpj = (text) =>
  /^[0-9A-Z]{12}[0-9]{2}$/.test(text ?? "") ? text.replace(/^(..)(...)(...)(....)(..)$/, "$1.$2.$3/$4-$5") : text;
