// The pieces that every view is made of.
import { ago, exactly, when } from "./format.js";
import { useTick } from "./live.js";
import { html, useEffect, useRef } from "./preact.js";
import { mayWrite, READ_ONLY, session } from "./session.js";
import { store } from "./store.js";
import { meaningOf, PHASE, STATUS } from "./words.js";

const ICONS = {
  ok: "M5 12.5l4.5 4.5L19 7.5",
  error: "M12 7v6.5M12 17.2v.1",
  refresh: "M20 11a8 8 0 0 0-14.3-4.3L4 8.5M4 4v4.5h4.5M4 13a8 8 0 0 0 14.3 4.3l1.7-1.8M20 20v-4.5h-4.5",
  calendar:
    "M4 9.5h16M8 3v4M16 3v4M5.5 5h13A1.5 1.5 0 0 1 20 6.5v12a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 18.5v-12A1.5 1.5 0 0 1 5.5 5z",
  clock: "M12 7v5l3.2 2M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17z",
  stop: "M7.5 7.5h9v9h-9z",
  pause: "M9 6.5v11M15 6.5v11",
  play: "M8.5 6.5v11l9-5.5z",
  bell: "M6.5 16.5V11a5.5 5.5 0 0 1 11 0v5.5l1.5 1.5H5zM10.5 20.5h3",
  next: "M9.5 6l6 6-6 6",
  previous: "M14.5 6l-6 6 6 6",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6l1.4 1.4M17 17l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4",
  moon: "M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7z",
  system: "M4 5.5h16v10.5H4zM9 20h6M12 16v4",
  exit: "M14 5H6.5A1.5 1.5 0 0 0 5 6.5v11A1.5 1.5 0 0 0 6.5 19H14M10.5 12H20M16.5 8.5L20 12l-3.5 3.5",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5L20.5 20.5",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M4.5 19.5h15",
  outside: "M13 5h6v6M19 5l-9 9M17 14.5V19H5V7h4.5",
  copy: "M9 9h10.5v10.5H9zM5.5 15H4.5V4.5H15v1",
  filter: "M4 6h16M7 12h10M10 18h4",
  feed: "M5 19h.1M5 12a7 7 0 0 1 7 7M5 5a14 14 0 0 1 14 14",
  plus: "M12 5.5v13M5.5 12h13",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${ICONS[name]} /></svg>`;

// A button that writes (`writes`) stays where it is for those who may only read, and says why it does nothing. So does
// one whose `may` is false: what it does takes a scope that the user has not.
export function Button({
  onClick,
  children,
  icon,
  kind = "",
  writes = false,
  may = true,
  busy = false,
  disabled = "",
  label,
  type = "button",
  ...rest
}) {
  session.use();
  const reason = (writes && !mayWrite()) || !may ? READ_ONLY : disabled;
  const press = (event) => {
    if (reason || busy) {
      event.preventDefault();
      if (reason) toast(reason, "warn");
      return;
    }
    onClick?.(event);
  };
  return html`<button type=${type} class="button ${kind}" onClick=${press} aria-disabled=${reason || busy ? "true" : undefined}
    aria-busy=${busy ? "true" : undefined} aria-label=${label && reason ? `${label}. ${reason}` : label} title=${reason || label || undefined} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}
    ${reason && !label && html`<span class="unseen"> (${reason})</span>`}
  </button>`;
}

export const Badge = ({ tone, children, title }) => html`<span class="badge ${tone}" title=${title}>${children}</span>`;

const TONES = { success: "good", error: "bad", running: "busy", pending: "quiet" };

export function State({ execution }) {
  const waits = execution.phase === "waiting";
  if (execution.cancelled) return html`<${Badge} tone="quiet">cancelada<//>`;
  const text = execution.status === "running" ? PHASE[execution.phase] : STATUS[execution.status];
  return html`<${Badge} tone=${waits ? "warn" : execution.phase === "queued" ? "quiet" : TONES[execution.status]}>${text}<//>`;
}

export const SliceState = ({ slice }) =>
  html`<${Badge} tone=${slice.status === "pending" && slice.run_after ? "warn" : TONES[slice.status]}>${slice.status === "pending" && slice.run_after && slice.cause ? "aguardando" : STATUS[slice.status]}<//>`;

export function Card({ title, aside, children, id, kind = "", level = 2 }) {
  const heading = id && `${id}-title`;
  return html`<section class="card ${kind}" id=${id} aria-labelledby=${heading}>
    ${title && html`<header class="card-head">${level === 2 ? html`<h2 id=${heading}>${title}</h2>` : html`<h3 id=${heading}>${title}</h3>`}${aside && html`<div class="card-aside">${aside}</div>`}</header>`}
    ${children}
  </section>`;
}

export const Empty = ({ title, children, icon = "clock" }) =>
  html`<div class="empty"><${Icon} name=${icon} />
    <p class="empty-title">${title}</p>${children && html`<div class="empty-text">${children}</div>`}</div>`;

export const Skeleton = ({ lines = 3, height }) =>
  html`<div class="skeleton" role="status" aria-label="Carregando"
    >${height ? html`<div class="bone" style=${{ height: `${height}px` }}></div>` : Array.from({ length: lines }, (_, n) => html`<div class="bone" key=${n} style=${{ width: `${[92, 76, 84, 64, 88][n % 5]}%` }}></div>`)}</div>`;

export function Progress({ value, label, waits }) {
  return html`<div class="progress ${waits ? "waits" : ""}" role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(value)}>
    <div style=${{ width: `${Math.max(value, 0.5)}%` }}></div>
  </div>`;
}

export function Ago({ moment }) {
  useTick(5000);
  return moment
    ? html`<time datetime=${moment} title=${exactly(moment)}>${ago(moment)}</time>`
    : html`<span>nunca</span>`;
}

export const When = ({ moment }) =>
  moment ? html`<time datetime=${moment} title=${exactly(moment)}>${when(moment)}</time>` : html`<span>—</span>`;

// "desde hoje, 10:16"
export const Since = ({ moment }) => html`<time datetime=${moment} title=${exactly(moment)}>desde ${when(moment).replace("hoje, ", "")}</time>`;

// An error in the reader's words; the program's own are one click away.
export function Meaning({ of }) {
  const said = meaningOf(of);
  const message = of.error_message;
  if (said === message || !message) return html`<span class="meaning">${said}</span>`;
  return html`<span class="meaning">${said}<${Original} text=${message} /></span>`;
}

// What the program, the portal or the database said.
export const Original = ({ text }) =>
  html`<details class="original"><summary>texto original</summary><code>${text}</code></details>`;

// What to show where data could not be loaded and there is none from before.
export function Trouble({ error, again }) {
  return html`<div class="empty trouble" role="alert"><${Icon} name="error" />
    <p class="empty-title">Não foi possível carregar</p>
    <div class="empty-text">${error.message}</div>${again && html`<${Button} icon="refresh" onClick=${again}>Tentar de novo<//>`}</div>`;
}

// What is said aloud, and shown for a while.
const messages = store([]);
let last = 0;

export function toast(text, tone = "good", link = null) {
  const one = { id: ++last, text, tone, link };
  messages.set([...messages.get().slice(-2), one]);
  setTimeout(() => drop(one.id), tone === "bad" ? 12000 : 6000);
}

const drop = (id) => messages.set(messages.get().filter((one) => one.id !== id));

export function Toasts() {
  const shown = messages.use();
  return html`<div class="toasts" role="status" aria-live="polite" aria-atomic="false">
    ${shown.map(
      (
        one,
      ) => html`<div class="toast ${one.tone}" key=${one.id}><${Icon} name=${one.tone === "good" ? "ok" : "error"} />
        <span>${one.text}${one.link && html` <a href=${one.link.href}>${one.link.text}</a>`}</span>
        <button type="button" class="ghost" aria-label="Fechar aviso" onClick=${() => drop(one.id)}><${Icon} name="close" />
          </button></div>`,
    )}
  </div>`;
}

const spoken = store("");
export const announce = (text) => spoken.set(text);
export const Announcer = () => html`<p class="unseen" role="status" aria-live="polite">${spoken.use()}</p>`;

// A window in front of the page: the browser keeps the focus in it, and gives it back.
export function Dialog({ title, onClose, children, wide }) {
  const element = useRef();
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    // the browser would choose the first button, which closes it
    (dialog.querySelector("form input:not([type=radio]), form select, form textarea") ?? dialog.querySelector(".button.primary, .button.danger"))?.focus();
    return () => dialog.open && dialog.close();
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  const outside = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onCancel=${cancel} onMouseDown=${outside}>
    <div class="dialog-body">
      <header class="dialog-head"><h2 id="dialog-title">${title}</h2>
        <button type="button" class="ghost" aria-label="Fechar" onClick=${onClose}><${Icon} name="close" /></button>
          </header>
      ${children}
    </div>
  </dialog>`;
}

// Rows that are cards on a narrow screen; `columns`: [{title, cell, kind, isNeeded}]: one that no row needs is left out
export function Table({ columns: all, rows, caption, keyOf = (row) => row.id, rowClass = () => "" }) {
  const columns = all.filter((column) => !column.isNeeded || rows.some(column.isNeeded));
  return html`<div class="table-wrap" role="region" aria-label=${caption} tabindex="0"><table>
    <caption class="unseen">${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.kind ?? ""} key=${column.title}>${column.title}</th>`)}</tr>
      </thead>
    <tbody>${rows.map(
      (row) =>
        html`<tr key=${keyOf(row)} class=${rowClass(row)}>${columns.map(
          (column) =>
            html`<td class=${column.kind ?? ""} data-title=${column.title} key=${column.title}>${column.cell(row)}</td>`,
        )}</tr>`,
    )}</tbody></table></div>`;
}

export const Pager = ({ back, next, children }) =>
  html`<nav class="pager" aria-label="Páginas">
    <${Button} icon="previous" onClick=${back} disabled=${back ? "" : "Esta é a primeira página"}>Anteriores<//>
    <span>${children}</span>
      <${Button} icon="next" kind="icon-last" onClick=${next} disabled=${next ? "" : "Esta é a última página"}>Seguintes<//>
      </nav>`;

// A text that is copied by a button beside it.
export function Copy({ text, shown = text, label = "Copiar" }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copiado.");
    } catch {
      toast("O navegador não deixou copiar; selecione o texto.", "warn"); // it wants https, or leave
    }
  };
  return html`<span class="copy"><span class="mono" title=${shown === text ? undefined : text}>${shown}</span>
    <button type="button" class="ghost" aria-label=${`${label}: ${text}`} title=${label} onClick=${copy}><${Icon} name="copy" /></button></span>`;
}
