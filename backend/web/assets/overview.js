// The first sight: is the mirror fresh, what runs, what failed, what to press; then how it has gone lately.
import { askResume, askRetry, askUpdate } from "./actions.js";
import { askBackfill } from "./backfill.js";
import { withQuery } from "./api.js";
import { Bars } from "./charts.js";
import { MARKS } from "./coverage.js";
import {
  addDays,
  bytes,
  compact,
  decimal,
  duration,
  integer,
  plural,
  shortDay,
  spokenDay,
  timeOf,
  today,
  when,
} from "./format.js";
import { ExecutionTable } from "./history.js";
import { judgeMirror, judgeTroubles, reasonOf } from "./judgement.js";
import { refresh, useLive, useTick } from "./live.js";
import { html } from "./preact.js";
import { hashOf } from "./router.js";
import { useResources } from "./resources.js";
import { Running } from "./running.js";
import { Ago, Badge, Button, Card, Empty, Icon, Meaning, Original, Skeleton, Trouble, When } from "./ui.js";
import { COVERAGE, MODE, modalidade, schedule } from "./words.js";

const BUSY = 2000;
const CALM = 15000;

export function Overview() {
  const { data: dashboard, error, at } = useLive("/sync/dashboard", (data) => (data?.unfinished.length ? BUSY : CALM));
  const { data: agenda } = useLive("/sync/schedules", 30000);
  const { data: health } = useLive("/health", 20000);
  const { data: alarms } = useLive("/sync/alerts", 60000);
  useTick(5000);
  if (!dashboard)
    return error
      ? html`<${Trouble} error=${error} again=${() => refresh("/sync/dashboard")} />`
      : html`<${FirstLoad} />`;
  const schedules = agenda?.schedules;
  const troubles = judgeTroubles({ dashboard, schedules, health, alerts: alarms?.alerts });
  const isNew = !dashboard.total_executions;
  return html`
    <${Hero} dashboard=${dashboard} schedules=${schedules} troubles=${troubles} />
    ${isNew ? html`<${Welcome} />` : html`<${Figures} dashboard=${dashboard} />`}
    <div class="columns">
      <div class="stack">
        ${troubles.length > 0 && html`<${Troubles} troubles=${troubles} />`}
        <${Now} dashboard=${dashboard} at=${at} schedules=${schedules} />
        ${!isNew && html`<${Charts} dashboard=${dashboard} />`}
        ${!isNew && html`<${Errors} errors=${dashboard.errors} />`}
      </div>
      <div class="stack">
        <${Agenda} schedules=${schedules} />
        <${Parts} dashboard=${dashboard} health=${health} />
        ${!isNew && html`<${LatestDays} busy=${dashboard.unfinished.length > 0} />`}
        ${!isNew && html`<${FreshnessOfAll} dashboard=${dashboard} />`}
        ${!isNew && html`<${Lists} lists=${dashboard.lists_owed} />`}
      </div>
    </div>
    ${!isNew && html`<${Latest} busy=${dashboard.unfinished.length > 0} />`}`;
}

const FirstLoad = () => html`<div class="hero card"><${Skeleton} lines=${2} /></div>
    <div class="figures-row">${[1, 2, 3, 4].map(
      (n) => html`<div class="card figure" key=${n}><${Skeleton} lines=${2} />
    </div>`,
    )}</div>
  <div class="columns"><div class="card"><${Skeleton} height=${220} /></div><div class="card">
    <${Skeleton} lines=${5} /></div></div>`;

function Hero({ dashboard, schedules, troubles }) {
  const verdict = judgeMirror(dashboard, schedules);
  const { unfinished } = dashboard;
  const resources = useResources();
  const bad = troubles.filter((one) => one.tone === "bad").length;
  return html`<section class="hero card ${verdict.tone}" aria-labelledby="hero-title">
    <div class="hero-mark">
      <${Icon} name=${verdict.tone === "good" ? "ok" : verdict.tone === "quiet" ? "calendar" : "error"} /></div>
    <div class="hero-words">
      <h1 id="hero-title">${verdict.title}</h1>
      <p>${verdict.text}${verdict.age != null && verdict.tone === "good" && html` · <${Ago} moment=${dashboard.freshness.updated_until} />`}</p>
      <ul class="hero-facts">
        <li>${
          unfinished.length
            ? html`<span class="dot busy">
          </span>${plural(unfinished.length, "execução em andamento", "execuções em andamento")}`
            : html`<span class="dot quiet">
          </span>Nada em andamento`
        }</li>
        ${
          unfinished.some((one) => one.waiting) &&
          html`<li><span class="dot warn">
          </span>O portal falha; novas tentativas sozinhas</li>`
        }
        <li>${
          bad
            ? html`<span class="dot bad">
          </span>${plural(bad, "problema", "problemas")}`
            : troubles.length || verdict.tone === "bad"
              ? html`<span class="dot warn">
          </span>${plural(troubles.length || 1, "aviso", "avisos")}`
              : html`<span class="dot good"></span>Nenhum problema`
        }</li>
      </ul>
    </div>
    <div class="hero-actions"><${Button} writes kind="primary" icon="refresh" onClick=${() => askUpdate(resources.filter((one) => one.is_scheduled))}>Atualizar agora<//>
      <${Button} writes icon="calendar" onClick=${() => askBackfill()}>Carregar período<//></div>
  </section>`;
}

const Welcome =
  () => html`<section class="card welcome" aria-labelledby="welcome-title"><h2 id="welcome-title">Por onde começar</h2>
  <ol><li><strong>Carregue um período.</strong> Traz o que foi publicado nos dias que você escolher.</li>
    <li><strong>Deixe a agenda trabalhar.</strong> Atualizações frequentes e uma varredura por noite mantêm o espelho completo.</li>
    <li><strong>Confira a cobertura.</strong> O calendário mostra cada dia: completo, parcial, com falha ou nunca pedido.</li>
      </ol>
  <${Button} writes kind="primary" icon="calendar" onClick=${() => askBackfill({ first: addDays(today(), -7), last: addDays(today(), -1) })}>Carregar os últimos 7 dias<//>
    </section>`;

function Figures({ dashboard }) {
  const main = dashboard.mirror.find((one) => one.table === "contratacoes");
  const itens = dashboard.mirror.find((one) => one.table === "itens_contratacao");
  const ended = dashboard.success_count + dashboard.error_count - dashboard.cancelled_count;
  const figures = [
    [
      "Contratações no espelho",
      `${main.exact ? "" : "≈ "}${compact(main.rows)}`,
      `${itens.exact ? "" : "≈ "}${compact(itens.rows)} itens`,
    ],
    [
      "Taxa de sucesso",
      ended ? dashboard.success_rate.replace(".", ",") : "—",
      `${plural(dashboard.total_executions, "execução", "execuções")} ao todo`,
    ],
    [
      "Execuções em 24 h",
      integer(dashboard.last_24h_executions),
      `${decimal(dashboard.records_per_execution)} registros por execução`,
    ],
    [
      "Duração média",
      duration(dashboard.mean_duration_seconds),
      `p95 ${duration(dashboard.p95_duration_seconds)} · 30 dias`,
    ],
  ];
  return html`<section class="figures-row" aria-label="Números">${figures.map(
    ([name, value, more]) =>
      html`<div class="card figure" key=${name}><h2>${name}</h2><p class="figure-value">${value}</p>
        <p class="muted">${more}</p></div>`,
  )}</section>`;
}

const Troubles = ({
  troubles,
}) => html`<${Card} id="troubles" title="Precisa de você" aside=${html`<${Badge} tone="bad">${troubles.length}<//>`}>
  <ul class="troubles">${troubles.map(
    (one) => html`<li key=${one.id} class=${one.tone}><span class="trouble-mark"><${Icon} name="error" /></span><div>
      <p class="trouble-title">${one.title}</p><p class="muted" title=${one.hint}>${one.text}</p>
      ${one.original && html`<${Original} text=${one.original} />`}</div>
      <div class="trouble-actions"><${TroubleButton} trouble=${one} /></div></li>`,
  )}</ul><//>`;

function TroubleButton({ trouble: { kind, subject } }) {
  if (kind === "history")
    return html`<a class="button small" href=${hashOf("/historico", { status: "error", mode: "backfill" })}>Ver todas</a>`;
  if (kind === "alert") return html`<a class="button small" href=${hashOf("/alertas")}>Ver alertas</a>`;
  if (kind === "resume")
    return html`<${Button} writes kind="small" icon="play" onClick=${() => askResume(subject, schedule(subject).name)}>Retomar<//>`;
  if (kind !== "retry" && kind !== "execution") return null;
  return html`<a class="button small" href=${hashOf(`/execucoes/${subject.id}`)}>Ver por quê<span class="unseen"> da execução ${subject.id}</span>
    </a>
    ${
      kind === "retry" &&
      html`<${Button} writes kind="small primary" icon="refresh" onClick=${() => askRetry(subject)}>Repetir<span class="unseen"> a execução ${subject.id}</span>
      <//>`
    }`;
}

function Now({ dashboard, at, schedules }) {
  const { unfinished } = dashboard;
  const next = (schedules ?? [])
    .filter((one) => one.enabled && !one.paused && one.next_runs[0])
    .sort((a, b) => a.next_runs[0].localeCompare(b.next_runs[0]))[0];
  return html`<${Card} id="now" title="Em andamento" aside=${
    unfinished.length > 0 &&
    html`<span class="live">
    <span class="dot busy pulse"></span>ao vivo</span>`
  }>
    ${
      unfinished.length
        ? unfinished.map((one) => html`<${Running} key=${one.id} execution=${one} at=${at} />`)
        : html`<p class="calm">Nada em andamento.${next ? ` Próxima: ${schedule(next).name.toLowerCase()} ${when(next.next_runs[0])}.` : ""}</p>`
    }<//>`;
}

function Charts({ dashboard }) {
  const { days } = dashboard;
  const sum = (name) => days.reduce((total, day) => total + day[name], 0);
  const [good, bad, records] = [sum("success"), sum("error") - sum("cancelled"), sum("records_processed")];
  return html`<${Card} id="charts" title="Últimos 30 dias"><div class="charts">
    <${Bars} title="Execuções" headline=${`${integer(good + bad)}${bad ? ` · ${integer(bad)} com erro` : ""}`} format=${integer} summary=${`Execuções por dia nos últimos 30 dias: ${good} com sucesso, ${bad} com erro.`}
      days=${days.map((one) => ({
        day: one.day,
        parts: [
          { value: one.success, tone: "good" },
          { value: one.error - one.cancelled, tone: "bad" },
        ],
        text: `${integer(one.success)} ok${one.error > one.cancelled ? `, ${integer(one.error - one.cancelled)} com erro` : ""}`,
      }))} />
    <${Bars} title="Registros" headline=${integer(records)} format=${integer} summary=${`Registros processados por dia nos últimos 30 dias: ${records} ao todo.`}
      days=${days.map((one) => ({ day: one.day, parts: [{ value: one.records_processed, tone: "main" }], text: `${integer(one.records_processed)}` }))} />
    <${Bars} title="Duração média" headline=${duration(dashboard.mean_duration_seconds)} format=${duration} summary=${`Duração média das execuções por dia nos últimos 30 dias; no todo ${duration(dashboard.mean_duration_seconds)}.`}
      days=${days.map((one) => ({ day: one.day, parts: [{ value: one.mean_seconds ?? 0, tone: "main" }], text: duration(one.mean_seconds) }))} />
  </div>
  ${
    dashboard.modes.length > 0 &&
    html`<table class="plain"><caption class="unseen">Durações por tipo, nos últimos 30 dias</caption><thead><tr>
      <th scope="col">Tipo</th><th scope="col" class="number">Execuções</th><th scope="col" class="number">Média</th>
      <th scope="col" class="number">p95</th><th scope="col" class="number">Registros/exec.</th></tr></thead>
    <tbody>${dashboard.modes.map(
      (one) => html`<tr key=${one.mode}><th scope="row">${MODE[one.mode]}</th>
      <td class="number">${integer(one.executions)}</td><td class="number">${duration(one.mean_seconds)}</td>
      <td class="number">${duration(one.p95_seconds)}</td><td class="number">${decimal(one.mean_records)}</td>
      </tr>`,
    )}</tbody></table>`
  }<//>`;
}

const MOST_SCHEDULES = 5;

// All of them where they are few; else those that are paused, and what comes next.
function Agenda({ schedules }) {
  const shown =
    (schedules?.length ?? 0) <= MOST_SCHEDULES
      ? schedules
      : [...schedules]
          .sort((a, b) => b.paused - a.paused || (a.next_runs[0] ?? "~").localeCompare(b.next_runs[0] ?? "~"))
          .slice(0, MOST_SCHEDULES);
  return html`<${Card} id="agenda" title="Agenda" aside=${html`<a href="#/agenda">Gerenciar</a>`}>
    ${
      schedules
        ? html`<ul class="rows">${shown.map(
            (one) => html`<li key=${one.name}><div><strong>${schedule(one).name}</strong>
              <p class="muted">${lastOf(one)}</p></div>
          <div class="row-end">${one.paused ? html`<${Badge} tone="warn">em pausa<//>` : !one.enabled ? html`<${Badge} tone="quiet">desligada<//>` : html`<${When} moment=${one.next_runs[0]} />`}</div>
            </li>`,
          )}</ul>${schedules.length > shown.length && html`<p class="muted">e mais ${schedules.length - shown.length} na agenda</p>`}`
        : html`<${Skeleton} lines=${3} />`
    }<//>`;
}

function lastOf({ last_tick: last }) {
  if (!last) return "Ainda não correu";
  if (last.skipped_reason) return `Pulou às ${timeOf(last.due_at)}: ${last.skipped_reason}`;
  return html`Última: ${when(last.due_at)}, ${last.execution_ids.map((id, n) => html`${n ? ", " : ""}<a href=${hashOf(`/execucoes/${id}`)}>execução ${id}</a>`)}`;
}

function Parts({ dashboard, health }) {
  const broker = {
    connected: ["good", "no ar"],
    disconnected: ["bad", "fora do ar"],
    disabled: ["quiet", "não usado"],
  }[health?.broker] ?? ["quiet", "…"];
  const parts = [
    [
      "Banco de dados",
      ...(health ? (health.database === "connected" ? ["good", "no ar"] : ["bad", "fora do ar"]) : ["quiet", "…"]),
    ],
    ["RabbitMQ", ...broker],
    [
      "Ingestores",
      dashboard.workers.length ? "good" : "bad",
      plural(dashboard.workers.length, "trabalhando", "trabalhando"),
    ],
    ["Portal", ...portalOf(dashboard)],
  ];
  return html`<${Card} id="health" title="Saúde"><ul class="rows">${parts.map(
    ([name, tone, text]) => html`<li key=${name}><span>${name}</span>
    <span class="row-end"><span class="dot ${tone}"></span>${text}</span></li>`,
  )}</ul>
    <details class="more"><summary>Ingestores e tabelas</summary>
      <ul class="rows">${dashboard.workers.map(
        (one) => html`<li key=${one.id}><span class="mono clip" title=${one.id}>${one.id}</span>
        <span class="row-end muted">${plural(one.slices_running, "fatia", "fatias")}</span></li>`,
      )}
      ${dashboard.mirror.map(
        (one) => html`<li key=${one.table}><span>${one.label}</span>
        <span class="row-end">${one.exact ? "" : "≈ "}${integer(one.rows)} <span class="muted">${bytes(one.bytes)}</span></span></li>`,
      )}</ul></details><//>`;
}

function portalOf({ source, unfinished }) {
  if (source.length) return ["warn", reasonOf(source[0])];
  return unfinished.some((one) => one.waiting) ? ["warn", "falhando"] : ["good", "sem queixas"];
}

const SHOWN_DAYS = 35;

function LatestDays({ busy }) {
  const { data } = useLive(
    withQuery("/sync/coverage", { from: addDays(today(), 1 - SHOWN_DAYS), to: today() }),
    busy ? 10000 : 60000,
  );
  return html`<${Card} id="days" title="Cobertura" aside=${html`<a href="#/cobertura">Calendário</a>`}>
    ${
      data
        ? html`<ul class="strip">${data.days.map((one) => {
            const text = `${spokenDay(one.day)}: ${COVERAGE[one.state]}`;
            return html`<li key=${one.day}><a class="cell ${one.state}" href=${hashOf("/cobertura", { dia: one.day })} title=${text} aria-label=${text}><span aria-hidden="true">${MARKS[one.state] || "·"}</span>
              </a></li>`;
          })}</ul><p class="chart-ends"><span>${shortDay(data.days[0].day)}</span>
            <span>${integer(data.days.filter((one) => one.state === "complete").length)} de ${SHOWN_DAYS} dias completos</span>
            <span>hoje</span></p>`
        : html`<${Skeleton} height=${96} />`
    }<//>`;
}

function FreshnessOfAll({ dashboard: { freshness, resources } }) {
  if (!resources.length) return null;
  const oldest = [...freshness.modalidades].sort((a, b) => (b.updated_age_seconds ?? Infinity) - (a.updated_age_seconds ?? Infinity));
  return html`<${Card} id="freshness" title="Atualidade">
    <ul class="rows">${resources.map(
      (one) => html`<li key=${one.resource}><span class="clip">${one.label}</span><span class="row-end">
        <${Ago} moment=${one.updated_until} />
        <${Button} writes kind="small" icon="refresh" label=${`Atualizar: ${one.label}`} onClick=${() => askUpdate([{ name: one.resource, label: one.label }])}>Atualizar<//></span></li>`,
    )}</ul>
    ${
      oldest.length > 1 &&
      html`<details class="more"><summary>Contratações, por modalidade</summary><ul class="rows">${oldest.map(
        (one) =>
          html`<li key=${one.modalidade}><span class="clip">${modalidade(one.modalidade)}</span><span class="row-end">
          <${Ago} moment=${one.updated_until} /></span></li>`,
      )}</ul></details>`
    }<//>`;
}

const SCOPE = { nenhum: "de nenhum registro", tudo: "de todos os registros" };

// Lists that are only ever read later than their records: of which, and what is still to be read.
const Lists = ({ lists }) => html`<${Card} id="lists" title="Listas lidas depois"><ul class="rows">${lists.map(
  (one) => {
    const isEstimated = one.set_aside === null;
    const facts = [
      SCOPE[one.scope] ?? `só ${one.scope.replace(/[,;]/g, "$& ")}`,
      one.requests > 0 && plural(one.requests, "pedido", "pedidos"),
      one.set_aside > 0 && `${integer(one.set_aside)} de lado`,
    ];
    return html`<li key=${`${one.list} ${one.resource}`}><div>${one.label}<p class="muted">${facts.filter(Boolean).join(" · ")}</p></div>
      <div class="row-end">${
        one.owed
          ? html`${isEstimated ? "≈ " : ""}${integer(one.owed)} por ler${one.since && html`<p class="muted"><${Ago} moment=${one.since} /></p>`}`
          : one.scope === "nenhum"
            ? html`<${Badge} tone="quiet">não lida<//>`
            : html`<${Badge} tone="good">em dia<//>`
      }</div></li>`;
  },
)}</ul><//>`;

function Errors({ errors }) {
  return html`<${Card} id="errors" title="Erros mais comuns" aside=${html`<span class="muted">30 dias</span>`}>
    ${
      errors.length
        ? html`<ul class="rows errors">${errors.map(
            (one) =>
              html`<li key=${one.cause}><div><${Meaning} of=${{ cause: one.cause, error_message: one.message }} /><p class="muted">
                <a href=${hashOf(`/execucoes/${one.last_execution_id}`)}>Última: execução ${one.last_execution_id}</a>, ${when(one.last_at)}</p>
                </div><span class="row-end"><${Badge} tone="quiet" title="execuções">${integer(one.executions)}×<//>
                </span></li>`,
          )}</ul>`
        : html`<p class="calm">Nenhum erro em 30 dias.</p>`
    }<//>`;
}

function Latest({ busy }) {
  const { data } = useLive("/sync/history?limit=8", busy ? 6000 : 30000);
  return html`<${Card} id="latest" title="Últimas execuções" aside=${html`<a href="#/historico">Histórico completo</a>`}>
    ${data ? (data.executions.length ? html`<${ExecutionTable} executions=${data.executions} caption="Últimas execuções" />` : html`<${Empty} title="Nenhuma execução" />`) : html`<${Skeleton} lines=${5} />`}<//>`;
}
