// Every execution, filtered and paged.
import { askRetry } from "./actions.js";
import { withQuery } from "./api.js";
import { duration, integer, plural, when, windowOf } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useState } from "./preact.js";
import { ResourceChoice, useResources } from "./resources.js";
import { hashOf, refine, route } from "./router.js";
import { Badge, Button, Card, Empty, Meaning, Pager, Skeleton, State, Table, Trouble, When } from "./ui.js";
import { CRITERIO, kindOf, meaningOf, MODE, STATUS, TRIGGER } from "./words.js";

const PER_PAGE = 25;
const FILTERS = ["resource", "status", "mode", "trigger", "since", "until"];

export function History() {
  const { query } = route.use();
  const [trail, setTrail] = useState([]); // the cursors of the pages before this one
  const chosen = Object.fromEntries(FILTERS.map((name) => [name, query[name]]));
  const asked = {
    ...chosen,
    since: chosen.since && `${chosen.since}T00:00:00`,
    until: chosen.until && `${chosen.until}T23:59:59`,
  };
  const path = withQuery("/sync/history", { ...asked, limit: PER_PAGE, cursor: query.cursor });
  const { data, error } = useLive(path, (page) =>
    page?.executions.some((one) => one.status === "running") ? 5000 : 30000,
  );
  const filter = (change) => {
    setTrail([]);
    refine({ ...change, cursor: "" });
  };
  const isFiltered = FILTERS.some((name) => chosen[name]);
  useEffect(() => {
    if (!query.cursor) setTrail([]);
  }, [query.cursor]);
  return html`<header class="view-head"><h1>Histórico</h1>
    <p class="muted" aria-live="polite">${data ? summaryOf(data) : " "}</p></header>
    <${Card}>
      <form class="filters" aria-label="Filtros" onSubmit=${(event) => event.preventDefault()}>
        <${ResourceChoice} resources=${useResources()} value=${chosen.resource ?? ""} change=${(name) => filter({ resource: name })} all="Todos os recursos" />
        <${Choice} name="status" label="Estado" value=${chosen.status} options=${STATUS} only=${["running", "success", "error"]} change=${filter} />
        <${Choice} name="mode" label="Tipo" value=${chosen.mode} options=${MODE} change=${filter} />
        <${Choice} name="trigger" label="Quem pediu" value=${chosen.trigger} options=${TRIGGER} change=${filter} />
        <label>De<input type="date" name="since" value=${chosen.since ?? ""} onChange=${(event) => filter({ since: event.target.value })} />
          </label>
        <label>Até<input type="date" name="until" value=${chosen.until ?? ""} onChange=${(event) => filter({ until: event.target.value })} />
          </label>
        <${Button} kind="small" icon="close" disabled=${isFiltered ? "" : "Nenhum filtro está em uso"} onClick=${() => filter(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>Limpar<//>
      </form>
      ${
        !data
          ? error
            ? html`<${Trouble} error=${error} again=${() => refresh(path)} />`
            : html`<${Skeleton} lines=${10} />`
          : data.executions.length
            ? html`<${ExecutionTable} executions=${data.executions} caption="Execuções" />
              <${Pager} back=${
                query.cursor &&
                (() => {
                  refine({ cursor: trail.at(-1) ?? "" });
                  setTrail(trail.slice(0, -1));
                })
              } next=${
                data.next_cursor &&
                (() => {
                  setTrail([...trail, query.cursor ?? ""]);
                  refine({ cursor: data.next_cursor });
                })
              }>${plural(data.executions.length, "execução", "execuções")} de ${integer(data.total_count)}<//>`
            : html`<${Empty} title=${isFiltered ? "Nenhuma execução passa por estes filtros" : "Nenhuma execução ainda"}>${isFiltered ? "Afrouxe ou limpe os filtros." : "As execuções aparecem aqui assim que a primeira é pedida."}<//>`
      }
    <//>
    <${Errors} />`;
}

// What most often went wrong
function Errors() {
  const { data } = useLive("/sync/dashboard", 60000);
  return (
    data?.errors.length > 0 &&
    html`<${Card} id="errors" title="Erros mais comuns" aside=${html`<span class="muted">30 dias</span>`}><ul class="rows errors">${data.errors.map(
      (one) =>
        html`<li key=${one.cause}><div><${Meaning} of=${{ cause: one.cause, error_message: one.message }} /><p class="muted">
          <a href=${hashOf(`/execucoes/${one.last_execution_id}`)}>Última: execução ${one.last_execution_id}</a>, ${when(one.last_at)}</p>
          </div><span class="row-end"><${Badge} tone="quiet" title="execuções">${integer(one.executions)}×<//></span></li>`,
    )}</ul><//>`
  );
}

const summaryOf = (data) =>
  [
    `${plural(data.total_count, "execução", "execuções")}: ${integer(data.success_count)} com sucesso`,
    `${integer(data.error_count - data.cancelled_count)} com erro`,
    data.cancelled_count > 0 && `${integer(data.cancelled_count)} canceladas`,
    `${integer(data.running_count)} em andamento`,
  ]
    .filter(Boolean)
    .join(", ");

const Choice = ({
  name,
  label,
  value,
  options,
  only = Object.keys(options),
  change,
}) => html`<label>${label}<select name=${name} value=${value ?? ""} onChange=${(event) => change({ [name]: event.target.value })}>
  <option value="">Todos</option>${only.map((one) => html`<option key=${one} value=${one}>${options[one]}</option>`)}</select>
    </label>`;

const COLUMNS = [
  {
    title: "Execução",
    kind: "name",
    cell: (one) =>
      html`<a class="row-link" href=${hashOf(`/execucoes/${one.id}`)}>${kindOf(one)} ${one.trigger === "retry" ? html`<span class="muted">(${one.id})</span>` : one.id}</a>
        <span class="muted small">${TRIGGER[one.trigger] ?? one.trigger}${one.requested_by ? ` · ${one.requested_by}` : ""}</span>`,
  },
  { title: "Estado", cell: (one) => html`<${State} execution=${one} />` },
  {
    title: "Janela",
    cell: (one) =>
      html`<span class="window">${windowOf(one.window_start, one.window_end)}</span>${one.mode === "backfill" && html`<span class="muted small">${CRITERIO[one.criterio]}</span>`}`,
  },
  {
    title: "Registros",
    kind: "number",
    cell: (one) =>
      html`${integer(one.records_processed)}${one.records_rejected > 0 && html`<span class="small warn-text">${integer(one.records_rejected)} rejeitados</span>`}`,
  },
  { title: "Duração", kind: "number", cell: (one) => duration(one.duration_seconds) },
  { title: "Pedida", kind: "number", cell: (one) => html`<${When} moment=${one.created_at} />` },
  {
    title: "Motivo",
    kind: "error-cell",
    isNeeded: (one) => one.cause,
    cell: (one) =>
      one.cause
        ? html`<span title=${one.error_message}>${meaningOf(one)}</span>${one.cancelled && html` <${Button} writes kind="small" icon="play" label=${`Continuar a execução ${one.id}`} onClick=${() => askRetry(one)}>Continuar<//>`}`
        : html`<span class="muted" aria-hidden="true">—</span>`,
  },
];

export const ExecutionTable = ({ executions, caption }) =>
  html`<${Table} columns=${COLUMNS} rows=${executions} caption=${caption} />`;
