// One execution: how it goes or went, its slices, its errors, its log, what was rejected.
import { withQuery } from "./api.js";
import { askCancel, askRetry } from "./actions.js";
import { duration, integer, percent, plural, preciseTimeOf, when, windowOf } from "./format.js";
import {
  announce,
  Badge,
  Button,
  Card,
  Empty,
  Meaning,
  Pager,
  Skeleton,
  State,
  Trouble,
  When,
} from "./ui.js";
import { refresh, useLive } from "./live.js";
import { Matrix } from "./matrix.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { RejectedList } from "./rejected.js";
import { hashOf, refine, route } from "./router.js";
import { Running } from "./running.js";
import { adviceFor, CRITERIO, endOf, kindOf, meaningOf, modalidade, TRIGGER } from "./words.js";

export function Execution({ id }) {
  const path = `/sync/executions/${id}`;
  const { data: one, error, at } = useLive(path, (data) => (!data || data.status === "running" ? 2000 : 60000));
  const { parts, query } = route.use();
  const before = useRef(null);
  useEffect(() => {
    if (!one) return;
    if (before.current === "running" && one.status !== "running") {
      announce(
        `A execução ${one.id} terminou: ${endOf(one)}, ${plural(one.records_processed, "registro", "registros")}.`,
      );
      refresh(`${path}/`, "/sync/history", "/sync/dashboard");
    }
    before.current = one.status;
  }, [one?.status]);
  if (error?.status === 404) return html`<${Missing} id=${id} />`;
  if (!one)
    return error
      ? html`<${Trouble} error=${error} again=${() => refresh(path)} />`
      : html`<div class="card"><${Skeleton} lines=${8} /></div>`;
  const tabs = [
    ["fatias", "Fatias", one.progress.slices_total],
    ["erros", "Erros", one.progress.slices_failed],
    ["registro", "Registro", null],
    ["rejeitados", "Rejeitados", one.records_rejected],
  ];
  const tab = tabs.some(([name]) => name === parts[2])
    ? parts[2]
    : one.status === "error" && one.progress.slices_failed
      ? "erros"
      : "fatias";
  return html`
    <nav class="crumbs" aria-label="Caminho">
      <a href="#/historico">Histórico</a> <span aria-hidden="true">/</span> <span aria-current="page">${one.id}</span>
      </nav>
    <header class="view-head"><div class="title-line">
      <h1>${kindOf(one)}${one.trigger === "retry" ? "" : ` ${one.id}`}</h1><${State} execution=${one} /></div>
      <div class="head-actions">
        ${one.status === "running" && html`<${Button} writes icon="stop" kind="danger-quiet" onClick=${() => askCancel(one)}>Cancelar<//>`}
        ${one.cancelled && html`<${Button} writes icon="play" kind="primary" disabled=${hasLeft(one) ? "" : "Nada ficou por ler"} onClick=${() => askRetry(one)}>Continuar<//>`}
        ${one.status === "error" && !one.cancelled && html`<${Button} writes icon="refresh" kind="primary" disabled=${one.progress.slices_failed ? "" : "Nenhuma fatia terminou com erro"} onClick=${() => askRetry(one)}>Repetir o que falhou<//>`}
      </div></header>
    ${
      one.cause &&
      html`<div class="verdict ${one.cancelled ? "" : "bad"}" role="note"><p><${Meaning} of=${one} />
      </p>${adviceFor(one) && html`<p class="muted">${adviceFor(one)}</p>`}${one.cancelled && html`<p class="muted">${percent(one.progress.percent)} estava feito e continua gravado: ${integer(one.progress.slices_done)} de ${plural(one.progress.slices_total, "fatia", "fatias")}. Continuar lê só o que faltou.</p>`}</div>`
    }
    <${Card}>${one.status === "running" && html`<${Running} execution=${one} at=${at} detailed />`}<${Facts} one=${one} />
      <//>
    <${Card}>
      <div class="tabs" role="tablist" aria-label="Partes da execução" onKeyDown=${moveTab}>${tabs.map(
        ([name, title, count]) =>
          html`<a key=${name} role="tab" id=${`tab-${name}`} href=${hashOf(`/execucoes/${id}/${name}`)} aria-selected=${tab === name ? "true" : "false"} aria-controls="tab-panel" tabindex=${tab === name ? 0 : -1}>${title}${count > 0 && html` <span class="count">${integer(count)}</span>`}</a>`,
      )}</div>
      <div id="tab-panel" role="tabpanel" aria-labelledby=${`tab-${tab}`}>
        ${tab === "fatias" && html`<${Matrix} execution=${one} />`}
        ${tab === "erros" && html`<${Failures} one=${one} />`}
        ${tab === "registro" && html`<${Log} one=${one} level=${query.level} words=${query.texto} />`}
        ${tab === "rejeitados" && html`<${RejectedList} execution=${one.id} />`}
      </div>
    <//>`;
}

const hasLeft = ({ progress }) => progress.slices_failed > 0 || progress.slices_done < progress.slices_total;

function moveTab(event) {
  const tabs = [...event.currentTarget.querySelectorAll('[role="tab"]')];
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
}

const Missing = ({ id }) =>
  html`<${Card}><${Empty} title=${`A execução ${id} não existe`} icon="error"><a href="#/historico">Ver o histórico</a>
    <//><//>`;

function Facts({ one }) {
  const { progress } = one;
  const facts = [
    ["Janela", windowOf(one.window_start, one.window_end)],
    ["Critério", CRITERIO[one.criterio]],
    [
      "Origem",
      html`${TRIGGER[one.trigger] ?? one.trigger}${one.requested_by ? ` (${one.requested_by})` : ""}${one.retry_of ? html`, <a href=${hashOf(`/execucoes/${one.retry_of}`)}>da execução ${one.retry_of}</a>` : ""}`,
    ],
    ["Pedida", html`<${When} moment=${one.created_at} />`],
    ["Terminada", html`<${When} moment=${one.finished_at} />`],
    ["Duração", duration(one.duration_seconds)],
    ["Registros", integer(one.records_processed)],
    ["Novos / alterados", `${integer(progress.records_inserted)} / ${integer(progress.records_updated)}`],
    ["Itens gravados", integer(progress.itens_written)],
    ["Páginas lidas", integer(progress.pages_done)],
    ["Fatias", `${integer(progress.slices_done)} de ${integer(progress.slices_total)}`],
    ["Rejeitados", integer(one.records_rejected)],
  ];
  return html`<dl class="facts wide">${facts.map(
    ([name, value]) => html`<div key=${name}><dt>${name}</dt>
    <dd>${value}</dd></div>`,
  )}</dl>`;
}

// Pages of something with cursors, kept while one looks at it
function usePages(path, parameters, every) {
  const [trail, setTrail] = useState([""]);
  const plain = withQuery(path, parameters);
  useEffect(() => setTrail([""]), [plain]);
  const asked = withQuery(path, { ...parameters, cursor: trail.at(-1) });
  const { data, error } = useLive(asked, every);
  return {
    data,
    error,
    again: () => refresh(asked),
    jump: (cursor) => setTrail(["", cursor]),
    back: trail.length > 1 && (() => setTrail(trail.slice(0, -1))),
    next: data?.next_cursor && (() => setTrail([...trail, data.next_cursor])),
  };
}

function Failures({ one }) {
  if (!one.progress.slices_failed)
    return html`<${Empty} title="Nenhuma fatia falhou" icon="ok">${one.cause ? html`<${Meaning} of=${one} />` : ""}<//>`;
  const groups = new Map();
  for (const slice of one.failed_slices) {
    if (slice.cause === "cut_off") continue;
    const meaning = meaningOf(slice);
    groups.set(meaning, [...(groups.get(meaning) ?? []), slice]);
  }
  return html`<ul class="groups">${[...groups].map(([meaning, slices]) => html`<${Failure} key=${meaning} meaning=${meaning} slices=${slices} />`)}</ul>${
    one.progress.slices_failed > one.failed_slices.length &&
    html`<p class="muted">De ${integer(one.progress.slices_failed)} fatias, as primeiras cem. <a href=${hashOf(`/execucoes/${one.id}/fatias`)}>A tabela mostra todas</a>.</p>`
  }`;
}

// Slices that failed for the same cause: what was said is shown once, however many slices it was said of.
function Failure({ meaning, slices }) {
  const texts = [...new Set(slices.map((slice) => slice.error_message).filter(Boolean))];
  const days = new Map();
  for (const slice of slices) {
    const day = windowOf(slice.window_start, slice.window_end);
    days.set(day, [...(days.get(day) ?? []), modalidade(slice.modalidade)]);
  }
  const advice = adviceFor(slices[0]);
  return html`<li><header><h2>${meaning}</h2><${Badge} tone="bad">${plural(slices.length, "fatia", "fatias")}<//></header>
    ${advice && html`<p class="muted">${advice}</p>`}
    <ul class="slices">${[...days].map(([day, parts]) => html`<li key=${day}><span>${day}</span><span class="muted">${parts.join(", ")}</span></li>`)}</ul>
    ${texts.length > 0 && html`<details class="original"><summary>texto original${texts.length > 1 ? ` (${integer(texts.length)} diferentes)` : ""}</summary>${texts.slice(0, 5).map((text) => html`<code key=${text}>${text}</code>`)}</details>`}</li>`;
}

const LEVELS = { info: "info e acima", warning: "avisos e erros", error: "só erros" };

// The first line that warns, if any does: the log is opened there.
const useFirstWarning = (path) => useLive(withQuery(path, { level: "warning", limit: 1 }), 300000);

function Log({ one, level, words }) {
  const path = `/sync/executions/${one.id}/log`;
  const isRunning = one.status === "running";
  const { data: warned } = useFirstWarning(path);
  const first = warned?.lines[0]?.id ?? null;
  const isPlain = !level && !words;
  const { data, error, again, back, next, jump } = usePages(path, { level, text: words, limit: 200 }, isRunning ? 3000 : 60000);
  const list = useRef();
  const reached = useRef(false);
  const isHere = data?.lines.some((line) => line.id === first);
  useEffect(() => {
    if (reached.current || !isPlain || isRunning || first === null || !data) return;
    if (!isHere && data.next_cursor && first > data.lines.at(-1).id) {
      jump(String(first - 1));
      return;
    }
    const line = list.current?.querySelector(`[data-line="${first}"]`);
    if (!line) return;
    reached.current = true;
    list.current.scrollTop = line.offsetTop - list.current.offsetTop - 60;
  }, [data, first]);
  if (error?.status === 404)
    return html`<${Empty} title="Este servidor não guarda o registro por execução">Procure pelo número ${one.id} no log dos ingestores.<//>`;
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label class="grows">Procurar<input type="search" name="log-text" value=${words ?? ""} placeholder="texto da linha" maxlength="100" onInput=${later((value) => refine({ texto: value.trim() }))} /></label>
    <label>Nível<select name="log-level" value=${level ?? ""} onChange=${(event) => refine({ level: event.target.value })}>
      <option value="">Tudo</option>${Object.entries(LEVELS).map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select>
        </label>
    ${first !== null && isPlain && html`<p class="muted small">Aberto no primeiro aviso.</p>`}</form>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${again} />`
          : html`<${Skeleton} lines=${8} />`
        : data.lines.length
          ? html`<ol class="log" aria-label="Linhas do registro" tabindex="0" ref=${list}>${data.lines.map((line) => html`<${Line} key=${line.id} line=${line} isFirst=${isPlain && line.id === first} />`)}</ol>
            <${Pager} back=${back} next=${next}>${plural(data.lines.length, "linha", "linhas")}<//>`
          : html`<${Empty} title="Nenhuma linha">${isPlain ? "Nada foi registrado ainda para esta execução." : "Nada com este texto ou neste nível."}<//>`
    }`;
}

let waiting = 0;
const later = (act) => (event) => {
  const { value } = event.target;
  clearTimeout(waiting);
  waiting = setTimeout(() => act(value), 300);
};

function Line({ line, isFirst }) {
  const fields = Object.entries(line.fields ?? {}).filter(([name]) => name !== "logger");
  return html`<li class="${line.level} ${isFirst ? "first-warning" : ""}" data-line=${line.id}><time datetime=${line.logged_at} title=${when(line.logged_at)}>${preciseTimeOf(line.logged_at)}</time>
    <span class="level">${line.level}</span>
    <span class="event">${line.event}${line.slice_id ? html` <span class="muted">fatia ${line.slice_id}</span>` : ""}${fields.length > 0 && html`<span class="fields">${fields.map(([name, value]) => html`<span key=${name}><b>${name}</b>=${typeof value === "object" ? JSON.stringify(value) : String(value)}</span>`)}</span>`}</span>
      </li>`;
}
