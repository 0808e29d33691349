// What is delivered to other systems: the destinations, what they are owed and reject, and the deliveries.
import { attempt, confirm, showDialog, whatWentWrong } from "./actions.js";
import { newKey, request, withQuery } from "./api.js";
import { duration, integer, plural, preciseTimeOf, when } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useState } from "./preact.js";
import { Save } from "./exports.js";
import { hashOf, nameView } from "./router.js";
import { Ago, Badge, Button, Card, Dialog, Empty, Meaning, Original, Pager, Skeleton, Table, toast, Trouble, When } from "./ui.js";
import { adviceFor, who } from "./words.js";

const STATES = {
  ok: ["good", "em ordem"],
  running: ["busy", "enviando"],
  waiting: ["warn", "esperando o destino"],
  held: ["warn", "espera confirmação"],
  stopped: ["bad", "o destino não quer mais receber"],
  paused: ["warn", "em pausa"],
  missing: ["quiet", "sem arquivo"],
  invalid: ["bad", "arquivo com erros"],
};
const PHASES = {
  queued: ["quiet", "na fila"],
  running: ["busy", "enviando"],
  waiting: ["warn", "esperando o destino"],
  held: ["warn", "espera confirmação"],
};
const ENDS = { success: ["good", "sucesso"], error: ["bad", "erro"] };
const MODES = {
  novidades: "Novidades",
  diferencas: "Tudo o que difere",
  tudo: "Tudo de novo",
  rejeitados: "Rejeitados",
  teste: "Teste",
};
const TRIGGERS = { api: "pedida aqui ou pela API", schedule: "agenda", update: "depois de uma atualização" };
const HELD = {
  hold_above: "Deve mais registros do que o limite de uma entrega.",
  mostly_refused: "O destino recusou quase tudo. Veja se ele, ou o mapeamento, mudou.",
};
const SLICES = { pending: ["quiet", "na fila"], running: ["busy", "enviando"], ...ENDS };

const afterChange = () => refresh("/destinations", "/jobs", "/sync/alerts", "/sync/dashboard");

export function Deliveries() {
  const { data, error } = useLive("/destinations", (known) => (known?.destinations.some((one) => one.state === "running") ? 3000 : 15000));
  return html`<header class="view-head"><div><h1>Entregas</h1>
    <p class="muted">O que outros sistemas recebem do espelho. Os destinos estão em arquivos; aqui se vê, se pausa e se repete.</p></div></header>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${() => refresh("/destinations")} />`
          : html`<div class="card"><${Skeleton} lines=${6} /></div>`
        : data.destinations.length
          ? html`${data.workers === 0 && html`<p class="note warn">Nenhum processo de entregas está ativo: nada é enviado até que um seja iniciado.</p>`}
            <${Faults} faults=${data.faults} />
            <div class="two-cards">${data.destinations.map((one) => html`<${DestinationCard} key=${one.name} one=${one} />`)}</div>
            <${Card} id="jobs" title="Últimas entregas"><${JobList} /><//>`
          : html`<${Faults} faults=${data.faults} /><${Card}><${Empty} title="Nenhum destino" icon="outside">${data.hint ?? "A pasta das conexões não tem nenhum destino."}<//><//>`
    }`;
}

const Faults = ({ faults }) =>
  faults.length > 0 &&
  html`<ul class="note bad faults">${faults.map((one) => html`<li key=${`${one.file}${one.line}${one.message}`}><span class="mono">${one.file}${one.line ? `:${one.line}` : ""}</span> ${one.message}</li>`)}</ul>`;

function DestinationCard({ one, alone = false }) {
  const [tone, state] = STATES[one.state];
  const title = alone ? "Estado" : html`<a href=${hashOf(`/entrega/${encodeURIComponent(one.name)}`)}>${one.name}</a>`;
  const canSend = ["missing", "stopped", "paused"].includes(one.state) ? "Este destino não recebe agora" : one.job_id ? "Já há uma entrega em andamento" : "";
  return html`<${Card} id=${`destination-${one.name}`} title=${title} aside=${html`<${Badge} tone=${tone}>${state}<//>`}>
    <p class="muted">${[one.host ?? (one.kind && "endereço em segredo"), one.preset && one.preset !== "generic" && one.preset, one.streams.map((each) => each.label).join(", ")].filter(Boolean).join(" · ")}</p>
    ${one.paused_at && html`<p class="note warn">“${one.pause_reason}” — ${who(one.paused_by)}, <${Ago} moment=${one.paused_at} /></p>`}
    ${one.stopped_at && html`<p class="note bad">Parado <${Ago} moment=${one.stopped_at} />: ${one.stopped_reason ?? "o destino respondeu que não quer mais receber"}.</p>`}
    ${one.failing_since && !one.stopped_at && html`<p class="note warn">Falha desde <${When} moment=${one.failing_since} />${one.retry_at && html`; nova tentativa <${Ago} moment=${one.retry_at} />`}.${one.last_error && html` <span class="muted">${one.last_error}</span>`}</p>`}
    <${Faults} faults=${one.faults} />
    <dl class="facts wide">
      <div><dt>Devidos</dt><dd>${integer(one.owed)}${one.owed_counted_at && html` <span class="muted small">contados <${Ago} moment=${one.owed_counted_at} /></span>`}</dd></div>
      <div><dt>O mais antigo</dt><dd>${one.oldest_owed_at ? html`<${Ago} moment=${one.oldest_owed_at} />` : "—"}</dd></div>
      <div><dt>Rejeitados</dt><dd>${one.rejected > 0 && !alone ? html`<a href=${hashOf(`/entrega/${encodeURIComponent(one.name)}`)}>${integer(one.rejected)}</a>` : integer(one.rejected)}</dd></div>
      <div><dt>Último sucesso</dt><dd><${Ago} moment=${one.last_success_at} /></dd></div>
      <div><dt>Próxima</dt><dd>${one.next_run ? when(one.next_run) : "—"}${one.after === "update" && html` <span class="muted small">e depois de atualizações</span>`}</dd></div>
      <div><dt>Em andamento</dt><dd>${one.job_id ? html`<a href=${hashOf(`/trabalho/${one.job_id}`)}>entrega ${one.job_id}</a>` : "—"}</dd></div>
    </dl>
    <div class="card-actions">
      ${
        one.paused_at || one.stopped_at
          ? html`<${Button} writes kind="primary" icon="play" label=${`Retomar: ${one.name}`} onClick=${() => resume(one)}>Retomar<//>`
          : one.kind && html`<${Button} writes icon="pause" label=${`Pausar: ${one.name}`} onClick=${() => askPause(one)}>Pausar<//>`
      }
      ${
        one.kind &&
        html`<${Button} writes icon="outside" label=${`Entregar agora: ${one.name}`} disabled=${canSend} onClick=${() => askDeliver(one)}>Entregar agora<//>
          <${Button} writes icon="search" label=${`Prévia: ${one.name}`} onClick=${() => showPreview(one)}>Prévia<//>
          <${Button} writes label=${`Testar: ${one.name}`} disabled=${canSend} onClick=${() => test(one)}>Testar<//>`
      }
    </div>
  <//>`;
}

// One destination, with its deliveries and what it rejected
export function Destination({ parts }) {
  const name = decodeURIComponent(parts[1]);
  const path = `/destinations/${encodeURIComponent(name)}`;
  const { data: one, error } = useLive(path, (known) => (known?.state === "running" ? 3000 : 15000));
  useEffect(() => nameView(`Entregas: ${name}`), [name]);
  if (!one)
    return error?.status === 404
      ? html`<${Card}><${Empty} title=${`O destino ${name} não existe`} icon="error"><a href="#/entregas">Ver os destinos</a><//><//>`
      : error
        ? html`<${Trouble} error=${error} again=${() => refresh(path)} />`
        : html`<div class="card"><${Skeleton} lines=${8} /></div>`;
  return html`<nav class="crumbs" aria-label="Caminho"><a href="#/entregas">Entregas</a> <span aria-hidden="true">/</span> <span aria-current="page">${name}</span></nav>
    <header class="view-head"><h1>${name}</h1></header>
    <${DestinationCard} one=${one} alone />
    <${Card} id="streams" title="Fluxos"><${Table} columns=${STREAMS} rows=${one.streams} caption="Fluxos" keyOf=${(stream) => stream.name} /><//>
    <${Card} id="rejected" title="Rejeitados" aside=${one.rejected > 0 && html`<${Button} writes kind="small" icon="refresh" disabled=${one.job_id ? "Já há uma entrega em andamento" : ""} onClick=${() => askRepeat(one)}>Repetir todos<//>`}><${RejectedRecords} destination=${one} /><//>
    <${Card} id="jobs" title="Entregas"><${JobList} subject=${name} /><//>`;
}

const STREAMS = [
  { title: "Fluxo", kind: "name", cell: (one) => html`${one.label}${one.name !== one.entity && html` <span class="muted small">${one.name}</span>`}` },
  { title: "Devidos", kind: "number", cell: (one) => integer(one.owed) },
  { title: "Rejeitados", kind: "number", cell: (one) => integer(one.rejected) },
  { title: "Mudanças vistas até", kind: "number", cell: (one) => html`<${When} moment=${one.cursor_at} />` },
  { title: "Comparação completa", kind: "number", cell: (one) => html`<${When} moment=${one.full_at} />` },
];

// Pages of something with cursors; answers the data, and a pager where there is more than one page
export function usePaged(path, parameters, every) {
  const [trail, setTrail] = useState([""]);
  const plain = withQuery(path, parameters);
  useEffect(() => setTrail([""]), [plain]);
  const asked = withQuery(path, { ...parameters, cursor: trail.at(-1) });
  const { data, error } = useLive(asked, every);
  const pager = (text) =>
    (trail.length > 1 || data?.next_cursor) &&
    html`<${Pager} back=${trail.length > 1 && (() => setTrail(trail.slice(0, -1)))} next=${data?.next_cursor && (() => setTrail([...trail, data.next_cursor]))}>${text}<//>`;
  return { data, error, again: () => refresh(asked), pager };
}

function RejectedRecords({ destination }) {
  const path = `/destinations/${encodeURIComponent(destination.name)}/rejeitados`;
  const { data, error, again, pager } = usePaged(path, { limite: 25 }, 30000);
  if (!data) return error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${3} />`;
  if (!data.records.length) return html`<${Empty} title="Nenhum registro rejeitado" icon="ok" />`;
  return html`<ul class="rejected">${data.records.map(
    (one) => html`<li key=${`${one.stream}/${one.key}`}><div class="rejected-head"><strong>${one.reason ?? "recusado sem motivo"}</strong>
        <p><span class="mono">${one.key}</span> <span class="muted">${[one.entity, one.tries > 1 && plural(one.tries, "recusa", "recusas")].filter(Boolean).join(" · ")}</span></p>
        <p class="muted small">rejeitado desde <${When} moment=${one.since} />; última tentativa <${When} moment=${one.last_try_at} /></p></div>
      ${one.content && html`<details class="original"><summary>como seria enviado agora</summary><pre tabindex="0">${pretty(one.content)}</pre></details>`}
      <p><${Button} writes kind="small" icon="refresh" label=${`Repetir ${one.key}`} disabled=${destination.job_id ? "Já há uma entrega em andamento" : ""} onClick=${() => repeat(destination, [one.key])}>Repetir<//></p></li>`,
  )}</ul>${pager(`${integer(data.total)} ao todo`)}`;
}

function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text; // a line of a message
  }
  // not by JSON.stringify: a number would lose its digits
  let depth = 0;
  return text.replace(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g, (sign) => {
    if (sign === "{" || sign === "[") return `${sign}\n${"  ".repeat(++depth)}`;
    if (sign === "}" || sign === "]") return `\n${"  ".repeat(--depth)}${sign}`;
    if (sign === ",") return `,\n${"  ".repeat(depth)}`;
    return sign === ":" ? ": " : sign;
  });
}

function JobState({ job }) {
  const [tone, text] = job.cause === "cancelled" ? ["quiet", "cancelada"] : (PHASES[job.phase] ?? ENDS[job.status]);
  return html`<${Badge} tone=${tone}>${text}<//>`;
}

const JOBS = [
  {
    title: "Entrega",
    kind: "name",
    cell: (one) => html`<a class="row-link" href=${hashOf(`/trabalho/${one.id}`)}>${one.subject} ${one.id}</a>
      <span class="muted small">${MODES[one.mode]} · ${TRIGGERS[one.trigger] ?? one.trigger}${one.requested_by ? ` · ${one.requested_by}` : ""}</span>`,
  },
  { title: "Estado", cell: (one) => html`<${JobState} job=${one} />` },
  {
    title: "Aceitos",
    kind: "number",
    cell: (one) => html`${integer(one.accepted)}${one.rejected > 0 && html`<span class="small warn-text">${integer(one.rejected)} rejeitados</span>`}`,
  },
  { title: "Duração", kind: "number", cell: (one) => duration(one.duration_seconds) },
  { title: "Pedida", kind: "number", cell: (one) => html`<${When} moment=${one.created_at} />` },
  { title: "Motivo", kind: "error-cell", isNeeded: (one) => one.cause, cell: (one) => (one.cause ? html`<${Meaning} of=${one} />` : html`<span class="muted" aria-hidden="true">—</span>`) },
];

function JobList({ subject }) {
  const { data, error, again, pager } = usePaged("/jobs", { kind: "delivery", subject, limit: 10 }, (known) => (known?.jobs.some((one) => one.status === "running") ? 3000 : 15000));
  if (!data) return error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${4} />`;
  if (!data.jobs.length) return html`<${Empty} title="Nenhuma entrega ainda" />`;
  return html`<${Table} columns=${JOBS} rows=${data.jobs} caption="Entregas" />${pager("")}`;
}

// One delivery: how it goes or went, by stream, and its log
export function Job({ parts }) {
  const id = /^\d+$/.test(parts[1]) ? parts[1] : "0";
  const path = `/jobs/${id}`;
  const { data: one, error } = useLive(path, (known) => (known?.status === "running" ? 2000 : 60000));
  useEffect(() => nameView(`Entrega ${id}`), [id]);
  if (!one)
    return error?.status === 404 || error?.status === 422
      ? html`<${Card}><${Empty} title=${`A entrega ${id} não existe`} icon="error"><a href="#/entregas">Ver as entregas</a><//><//>`
      : error
        ? html`<${Trouble} error=${error} again=${() => refresh(path)} />`
        : html`<div class="card"><${Skeleton} lines=${8} /></div>`;
  const facts = [
    ["O que envia", MODES[one.mode]],
    ["Origem", `${TRIGGERS[one.trigger] ?? one.trigger}${one.requested_by ? ` (${one.requested_by})` : ""}`],
    ["Pedida", html`<${When} moment=${one.created_at} />`],
    ["Terminada", html`<${When} moment=${one.finished_at} />`],
    ["Duração", duration(one.duration_seconds)],
    ["Comparados", integer(one.seen)],
    ["Sem mudança", integer(one.unchanged)],
    ["Aceitos", integer(one.accepted)],
    ["Rejeitados", integer(one.rejected)],
    ["Pedidos", integer(one.requests)],
  ];
  return html`<nav class="crumbs" aria-label="Caminho"><a href="#/entregas">Entregas</a> <span aria-hidden="true">/</span> <a href=${hashOf(`/entrega/${encodeURIComponent(one.subject)}`)}>${one.subject}</a> <span aria-hidden="true">/</span> <span aria-current="page">${one.id}</span></nav>
    <header class="view-head"><div class="title-line"><h1>Entrega ${one.id}</h1><${JobState} job=${one} /></div>
      <div class="head-actions">${one.status === "running" && !one.held && html`<${Button} writes icon="stop" kind="danger-quiet" onClick=${() => askCancel(one)}>Cancelar<//>`}</div></header>
    ${one.held && html`<${Held} job=${one} />`}
    ${one.cause && html`<div class="verdict ${one.cause === "cancelled" ? "" : "bad"}" role="note"><p><${Meaning} of=${one} /></p>${adviceFor(one) && html`<p class="muted">${adviceFor(one)}</p>`}</div>`}
    <${Card}><dl class="facts wide">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl><//>
    <${Card} id="job-streams" title="Fluxos">${one.streams.length ? html`<${Table} columns=${JOB_STREAMS} rows=${one.streams} caption="Fluxos" keyOf=${(stream) => stream.stream} />` : html`<${Empty} title="Ainda não começou" />`}<//>
    <${Card} id="job-log" title="Registro" aside=${html`<${Save} path=${`${path}/log?formato=texto`} name=${`entrega-${one.id}.log`} />`}><${Log} job=${one} /><//>`;
}

const JOB_STREAMS = [
  { title: "Fluxo", kind: "name", cell: (one) => one.stream },
  {
    title: "Estado",
    cell: (one) => html`<${Badge} tone=${one.next_try_at ? "warn" : SLICES[one.status][0]}>${one.next_try_at ? "esperando" : SLICES[one.status][1]}<//>${one.next_try_at && html` <span class="muted small">nova tentativa <${Ago} moment=${one.next_try_at} /></span>`}`,
  },
  { title: "Comparados", kind: "number", cell: (one) => integer(one.seen) },
  { title: "Sem mudança", kind: "number", cell: (one) => integer(one.unchanged) },
  { title: "Aceitos", kind: "number", cell: (one) => integer(one.accepted) },
  { title: "Rejeitados", kind: "number", cell: (one) => integer(one.rejected) },
  { title: "Pedidos", kind: "number", cell: (one) => integer(one.requests) },
  { title: "Motivo", kind: "error-cell", isNeeded: (one) => one.error_message, cell: (one) => (one.error_message ? html`<${Meaning} of=${one} />` : html`<span class="muted" aria-hidden="true">—</span>`) },
];

function Held({ job }) {
  const { held } = job;
  return html`<${Card} id="held" title="Espera confirmação">
    <p>${HELD[held.reason]} ${held.owed !== null && html`Seriam enviados <strong>${plural(held.owed, "registro", "registros")}</strong>.`}</p>
    ${held.samples?.length > 0 && html`<details class="original"><summary>exemplos do que seria enviado</summary>${held.samples.map((one, n) => html`<pre tabindex="0" key=${n}>${pretty(typeof one === "string" ? one : JSON.stringify(one))}</pre>`)}</details>`}
    <div class="card-actions"><${Button} writes kind="primary" icon="ok" onClick=${() => askConfirm(job)}>Confirmar e enviar<//>
      <${Button} writes kind="danger-quiet" icon="stop" onClick=${() => askCancel(job)}>Cancelar a entrega<//></div><//>`;
}

export function Log({ job }) {
  const { data, error, again, pager } = usePaged(`/jobs/${job.id}/log`, { limit: 100 }, job.status === "running" ? 3000 : 60000);
  if (!data) return error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${4} />`;
  if (!data.lines.length) return html`<${Empty} title="Nenhuma linha">Nada foi registrado ainda aqui.<//>`;
  return html`<ol class="log" aria-label="Linhas do registro" tabindex="0">${data.lines.map(
    (line) => html`<li class=${line.level} key=${line.id}><time datetime=${line.logged_at} title=${when(line.logged_at)}>${preciseTimeOf(line.logged_at)}</time>
      <span class="level">${line.level}</span><span class="event">${line.event}<span class="fields">${Object.entries(line.fields)
        .filter(([name]) => name !== "logger")
        .map(([name, value]) => html`<span key=${name}><b>${name}</b>=${typeof value === "object" ? JSON.stringify(value) : String(value)}</span>`)}</span></span></li>`,
  )}</ol>${pager(plural(data.lines.length, "linha", "linhas"))}`;
}

// --- what changes something -----------------------------------------------------------------------------------------

const addressOf = (one) => `/destinations/${encodeURIComponent(one.name)}`;
const linkTo = (id) => ({ href: hashOf(`/trabalho/${id}`), text: "Acompanhar" });

const resume = (one) =>
  attempt(async () => {
    await request("POST", `${addressOf(one)}/resume`);
    toast(`${one.name}: retomado.`);
  }, afterChange);

const test = (one) =>
  attempt(async () => {
    const answer = await request("POST", `${addressOf(one)}/test`);
    toast(`${one.name}: um pedido de teste será enviado.`, "good", linkTo(answer.request_id));
  }, afterChange);

const repeat = (one, chaves) =>
  attempt(async () => {
    const answer = await request("POST", `${addressOf(one)}/rejeitados/repetir`, { json: chaves ? { chaves } : {} });
    toast(`${one.name}: os rejeitados serão enviados de novo.`, "good", linkTo(answer.request_id));
  }, afterChange);

function askRepeat(one) {
  confirm({
    title: `Repetir os rejeitados de ${one.name}?`,
    text: html`<p>${plural(one.rejected, "registro é montado", "registros são montados")} e ${one.rejected === 1 ? "enviado" : "enviados"} de novo.</p>`,
    action: "Repetir",
    act: () => repeat(one),
  });
}

function askPause(one) {
  confirm({
    title: `Pausar: ${one.name}`,
    text: html`<p>Nada mais lhe é enviado até que alguém retome. O que mudar no espelho fica devido.</p>`,
    field: { label: "Por quê? (fica registrado)", placeholder: "destino em manutenção" },
    action: "Pausar",
    act: async (reason) => {
      await request("POST", `${addressOf(one)}/pause`, { json: { reason } });
      toast(`Em pausa: ${one.name}.`);
      await afterChange();
    },
  });
}

function askDeliver(one) {
  const entities = [...new Set(one.streams.map((each) => each.entity))];
  const send = (entity, key) => request("POST", `/${entity.replaceAll("_", "-")}/sincronizar`, { json: { destino: one.name }, key });
  const keys = Object.fromEntries(entities.map((entity) => [entity, newKey()]));
  if (entities.length === 1) {
    confirm({
      title: `Entregar agora: ${one.name}`,
      text: html`<p>Todos os registros são comparados com o que o destino já tem, e o que difere é enviado.</p>`,
      action: "Entregar",
      act: async () => started(one, await send(entities[0], keys[entities[0]])),
    });
    return;
  }
  showDialog(function Choose({ close }) {
    const [entity, choose] = useState(entities[0]);
    const [busy, setBusy] = useState(false);
    const [trouble, tell] = useState("");
    const submit = async (event) => {
      event.preventDefault();
      setBusy(true);
      tell("");
      try {
        await started(one, await send(entity, keys[entity]));
        close();
      } catch (error) {
        tell(whatWentWrong(error));
        setBusy(false);
      }
    };
    return html`<${Dialog} title=${`Entregar agora: ${one.name}`} onClose=${close}><form onSubmit=${submit}>
      <p class="dialog-text">Todos os registros da entidade são comparados com o que o destino já tem, e o que difere é enviado.</p>
      <label class="field">Entidade<select name="entity" value=${entity} onChange=${({ target }) => choose(target.value)}>${one.streams.map((each) => html`<option key=${each.name} value=${each.entity}>${each.label}</option>`)}</select></label>
      <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
      <div class="dialog-actions"><${Button} onClick=${close}>Voltar<//><${Button} writes type="submit" kind="primary" busy=${busy}>Entregar<//></div></form><//>`;
  });
}

async function started(one, answer) {
  toast(`${one.name}: entrega ${answer.request_id} iniciada.`, "good", linkTo(answer.request_id));
  await afterChange();
}

function askConfirm(job) {
  confirm({
    title: `Confirmar a entrega ${job.id}?`,
    text: html`<p>${job.held.owed === null ? "O que é devido" : plural(job.held.owed, "registro", "registros")} a ${job.subject}: o envio começa logo e não pode ser desfeito.</p>`,
    action: "Confirmar e enviar",
    act: async () => {
      await request("POST", `/jobs/${job.id}/confirm`);
      toast(`Entrega ${job.id} confirmada.`);
      await afterChange();
    },
  });
}

function askCancel(job) {
  confirm({
    title: `Cancelar a entrega ${job.id}?`,
    text: html`<p>O que já foi enviado fica enviado. O resto continua devido, e é enviado pela próxima entrega.</p>`,
    action: "Cancelar entrega",
    kind: "danger",
    act: async () => {
      await request("POST", `/jobs/${job.id}/cancel`);
      toast(`Entrega ${job.id} cancelada.`);
      await afterChange();
    },
  });
}

function showPreview(one) {
  showDialog(function Preview({ close }) {
    const [found, set] = useState(null);
    const [trouble, tell] = useState(null);
    useEffect(() => {
      request("POST", `${addressOf(one)}/preview`).then(set, tell);
    }, []);
    return html`<${Dialog} title=${`Prévia: ${one.name}`} onClose=${close} wide>
      <p class="dialog-text">Os registros mudados por último, como seriam enviados. Nada é enviado.</p>
      ${!found ? (trouble ? html`<p class="note bad" role="alert">${whatWentWrong(trouble)}</p>` : html`<${Skeleton} lines=${6} />`) : found.streams.map((stream) => html`<${StreamPreview} key=${stream.name} stream=${stream} />`)}
      <div class="dialog-actions"><${Button} onClick=${close}>Fechar<//></div><//>`;
  });
}

const StreamPreview = ({ stream }) => html`<section class="preview"><h3 class="minor">${stream.name}: ${stream.owed === null ? "a contagem demora demais" : `${plural(stream.owed, "registro devido", "registros devidos")} agora`}</h3>
  ${
    stream.records === null
      ? html`<p class="muted">A consulta demora demais; nada a mostrar.</p>`
      : stream.records.length
        ? stream.records.map((one) => (one.content ? html`<pre tabindex="0" key=${one.key} aria-label=${one.key}>${pretty(one.content)}</pre>` : html`<p class="note warn" key=${one.key}><span class="mono">${one.key}</span> seria rejeitado: ${one.reason}</p>`))
        : html`<p class="muted">Nenhum registro passa pelas condições.</p>`
  }</section>`;
