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
  SliceState,
  State,
  Table,
  Trouble,
  When,
} from "./ui.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { hashOf, refine, route } from "./router.js";
import { Running } from "./running.js";
import { adviceFor, CRITERIO, kindOf, meaningOf, modalidade, STATUS, TRIGGER } from "./words.js";

const PER_PAGE = 50;

export function Execution({ id }) {
  const path = `/sync/executions/${id}`;
  const { data: one, error, at } = useLive(path, (data) => (!data || data.status === "running" ? 2000 : 60000));
  const { parts, query } = route.use();
  const before = useRef(null);
  useEffect(() => {
    if (!one) return;
    if (before.current === "running" && one.status !== "running") {
      announce(
        `A execução ${one.id} terminou: ${one.cancelled ? "cancelada" : STATUS[one.status]}, ${plural(one.records_processed, "registro", "registros")}.`,
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
      </p>${adviceFor(one) && html`<p class="muted">${adviceFor(one)}</p>`}${one.cancelled && html`<p class="muted">${percent(one.progress.percent)} estava feito, e fica. Continuar lê o que faltou.</p>`}</div>`
    }
    <${Card}>${one.status === "running" && html`<${Running} execution=${one} at=${at} detailed />`}<${Facts} one=${one} />
      <//>
    <${Card}>
      <div class="tabs" role="tablist" aria-label="Partes da execução" onKeyDown=${moveTab}>${tabs.map(
        ([name, title, count]) =>
          html`<a key=${name} role="tab" id=${`tab-${name}`} href=${hashOf(`/execucoes/${id}/${name}`)} aria-selected=${tab === name ? "true" : "false"} aria-controls="tab-panel" tabindex=${tab === name ? 0 : -1}>${title}${count > 0 && html` <span class="count">${integer(count)}</span>`}</a>`,
      )}</div>
      <div id="tab-panel" role="tabpanel" aria-labelledby=${`tab-${tab}`}>
        ${tab === "fatias" && html`<${Slices} one=${one} status=${query.status} />`}
        ${tab === "erros" && html`<${Failures} one=${one} />`}
        ${tab === "registro" && html`<${Log} one=${one} level=${query.level} />`}
        ${tab === "rejeitados" && html`<${Rejected} one=${one} />`}
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
    back: trail.length > 1 && (() => setTrail(trail.slice(0, -1))),
    next: data?.next_cursor && (() => setTrail([...trail, data.next_cursor])),
  };
}

const SLICE_COLUMNS = [
  { title: "Dia", kind: "name", cell: (one) => windowOf(one.window_start, one.window_end) },
  { title: "Modalidade", cell: (one) => modalidade(one.modalidade) },
  { title: "Estado", cell: (one) => html`<${SliceState} slice=${one} />` },
  {
    title: "Páginas",
    kind: "number",
    cell: (one) =>
      one.pages_total == null ? integer(one.pages_done) : `${integer(one.pages_done)} de ${integer(one.pages_total)}`,
  },
  {
    title: "Registros",
    kind: "number",
    cell: (one) =>
      html`${integer(one.records_processed)}${one.total_registros != null ? html`<span class="muted"> de ${integer(one.total_registros)}</span>` : ""}`,
  },
  { title: "Tentativas", kind: "number", cell: (one) => integer(one.attempt) },
  {
    title: "Erro",
    kind: "error-cell",
    isNeeded: (one) => one.cause,
    cell: (one) =>
      one.cause
        ? html`<span title=${one.error_message}>${meaningOf(one)}${one.status === "pending" && one.run_after ? html`<span class="muted small">de novo ${when(one.run_after)}</span>` : ""}</span>`
        : html`<span class="muted" aria-hidden="true">—</span>`,
  },
];

function Slices({ one, status }) {
  const { data, error, again, back, next } = usePages(
    `/sync/executions/${one.id}/slices`,
    { status, limit: PER_PAGE },
    one.status === "running" ? 5000 : 60000,
  );
  return html`<div class="filters">
    <label>Estado<select name="slice-status" value=${status ?? ""} onChange=${(event) => refine({ status: event.target.value })}>
      <option value="">Todas</option>${Object.entries(STATUS).map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select>
        </label></div>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${again} />`
          : html`<${Skeleton} lines=${8} />`
        : data.slices.length
          ? html`<${Table} columns=${SLICE_COLUMNS} rows=${data.slices} caption="Fatias da execução" />
            <${Pager} back=${back} next=${next}>${plural(data.slices.length, "fatia", "fatias")} nesta página<//>`
          : html`<${Empty} title=${status ? "Nenhuma fatia neste estado" : "Ainda sem fatias"}>${status ? "" : "Elas aparecem quando um ingestor planeja a execução."}<//>`
    }`;
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
  return html`<ul class="groups">${[...groups].map(
    ([meaning, slices]) => html`<li key=${meaning}><header><h3>${meaning}</h3>
      <${Badge} tone="bad">${plural(slices.length, "fatia", "fatias")}<//></header>
      <ul class="slices">${slices.map(
        (slice) => html`<li key=${slice.id}><span>${windowOf(slice.window_start, slice.window_end)}</span>
        <span>${modalidade(slice.modalidade)}</span><code>${slice.error_message}</code></li>`,
      )}</ul></li>`,
  )}</ul>${
    one.progress.slices_failed > one.failed_slices.length &&
    html`<p class="muted">As primeiras cem. <a href=${hashOf(`/execucoes/${one.id}/fatias`, { status: "error" })}>Ver todas</a>
    </p>`
  }`;
}

const LEVELS = { info: "info e acima", warning: "avisos e erros", error: "só erros" };

function Log({ one, level }) {
  const { data, error, again, back, next } = usePages(
    `/sync/executions/${one.id}/log`,
    { level, limit: 200 },
    one.status === "running" ? 3000 : 60000,
  );
  if (error?.status === 404)
    return html`<${Empty} title="Este servidor não guarda o registro por execução">Procure pelo número ${one.id} no log dos ingestores.<//>`;
  return html`<div class="filters">
    <label>Nível<select name="log-level" value=${level ?? ""} onChange=${(event) => refine({ level: event.target.value })}>
      <option value="">Tudo</option>${Object.entries(LEVELS).map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select>
        </label></div>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${again} />`
          : html`<${Skeleton} lines=${8} />`
        : data.lines.length
          ? html`<ol class="log" aria-label="Linhas do registro" tabindex="0">${data.lines.map((line) => html`<${Line} key=${line.id} line=${line} />`)}</ol>
            <${Pager} back=${back} next=${next}>${plural(data.lines.length, "linha", "linhas")}<//>`
          : html`<${Empty} title="Nenhuma linha">${level ? "Nada neste nível." : "Nada foi registrado ainda para esta execução."}<//>`
    }`;
}

function Line({ line }) {
  const fields = Object.entries(line.fields ?? {}).filter(([name]) => name !== "logger");
  return html`<li class=${line.level}><time datetime=${line.logged_at} title=${when(line.logged_at)}>${preciseTimeOf(line.logged_at)}</time>
    <span class="level">${line.level}</span>
    <span class="event">${line.event}${line.slice_id ? html` <span class="muted">fatia ${line.slice_id}</span>` : ""}${fields.length > 0 && html`<span class="fields">${fields.map(([name, value]) => html`<span key=${name}><b>${name}</b>=${typeof value === "object" ? JSON.stringify(value) : String(value)}</span>`)}</span>`}</span>
      </li>`;
}

const REJECTED_COLUMNS = [
  { title: "Registro", kind: "name", cell: (one) => html`<span class="mono">${one.natural_key ?? "sem chave"}</span>` },
  { title: "Tipo", cell: (one) => (one.resource === "itens_contratacao" ? "item" : "contratação") },
  { title: "Motivo", cell: (one) => one.reason },
  {
    title: "Situação",
    cell: (one) =>
      one.resolved_at
        ? html`<${Badge} tone="good">gravado ${when(one.resolved_at)}<//>`
        : html`<${Badge} tone="warn">guardado<//>`,
  },
];

function Rejected({ one }) {
  if (!one.rejected_records.length) return html`<${Empty} title="Nenhum registro rejeitado" icon="ok" />`;
  return html`<p class="muted pad">O que não pôde ser gravado fica guardado com o motivo. Depois de uma versão nova: <code>python -m ingestor rejected --retry</code>.</p>
    <${Table} columns=${REJECTED_COLUMNS} rows=${one.rejected_records} caption="Registros rejeitados" keyOf=${(row) => `${row.natural_key}${row.reason}`} />`;
}
