// What comes in: files, pushed records, databases of others; what rows would do before they do it, and what was refused.
import { confirm, showDialog, whatWentWrong } from "./actions.js";
import { forgetAnswers, useAnswer } from "./answers.js";
import { request, upload, withQuery } from "./api.js";
import { Log, usePaged } from "./deliveries.js";
import { placeOfRecord } from "./described.js";
import { Save } from "./exports.js";
import { bytes, integer, percent, plural } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { go, hashOf, nameView, refine, route } from "./router.js";
import { mayTakeIn, READ_ONLY } from "./session.js";
import { Sources } from "./sources.js";
import { announce, Badge, Button, Card, Dialog, Empty, Icon, Progress, Skeleton, Table, toast, Trouble, When } from "./ui.js";
import { ACTION, DOORS, IMPORT, ROW, who } from "./words.js";

const FORMATS = [".xlsx", ".ods", ".xls", ".csv"];
const UNFINISHED = ["receiving", "queued", "checking", "processing"];
const isUnfinished = (one) => UNFINISHED.includes(one?.phase);
// Rows of an import that was not taken in wait for nothing.
const waiting = (one) => (["discarded", "refused"].includes(one.phase) ? 0 : one.pending);

const afterChange = () => refresh("/imports", "/entities", "/sources", "/jobs");
const addressOf = (id) => `/imports/${id}`;
const placeOf = (id) => hashOf(`/importacao/${id}`);
const nameOf = (one) => one.file_name ?? (one.door === "sql" ? `leitura ${one.job_id}` : "registros em JSON");

export function Imports() {
  return html`<header class="view-head"><div><h1>Entradas</h1>
    <p class="muted">Compras, fornecedores e produtos próprios: por planilha, pela API, da pasta ou de bancos de dados.</p></div></header>
    <${Figures} />
    <div class="two-cards">
      <${Card} id="enviar" title="Enviar uma planilha"><${UploadForm} /><//>
      <${Sources} />
    </div>
    <${Card} id="importacoes" title="Importações"><${ImportList} /><//>`;
}

function Figures() {
  const { data } = useLive("/imports/resumo", (known) => (known?.running ? 4000 : 20000));
  const figures = data && [
    ["Importações hoje", data.today, data.running ? plural(data.running, "em andamento", "em andamento") : "nenhuma em andamento"],
    ["Esperam confirmação", data.held, data.held ? "nada é gravado antes" : "nenhuma"],
    ["Linhas à espera", data.waiting_rows, "de um registro a que se referem"],
    ["Linhas recusadas", data.rejected_rows, `em 7 dias${data.refused ? `; e ${plural(data.refused, "arquivo inteiro", "arquivos inteiros")}` : ""}`],
  ];
  if (!figures) return html`<section class="figures-row">${[1, 2, 3, 4].map((n) => html`<div class="card figure" key=${n}><${Skeleton} lines=${2} /></div>`)}</section>`;
  return html`<section class="figures-row" aria-label="Números das importações">${figures.map(([name, value, more]) => html`<div class="card figure" key=${name}><h2>${name}</h2><p class="figure-value">${integer(value)}</p><p class="muted">${more}</p></div>`)}</section>`;
}

// --- sending a file ---------------------------------------------------------------------------------------------------

function UploadForm() {
  const { query } = route.use();
  const { data, error, again } = useAnswer("/layouts");
  const [file, setFile] = useState(null);
  const [needsLook, look] = useState(true);
  const [share, progress] = useState(null);
  const [trouble, tell] = useState("");
  const [isOver, over] = useState(false);
  const input = useRef();
  if (!data) return error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${5} />`;
  const layouts = data.layouts.filter((one) => mayTakeIn(one.nome));
  if (!layouts.length) return html`<${Empty} title="Só leitura" icon="stop">${READ_ONLY}<//>`;
  const layout = layouts.find((one) => one.nome === query.layout) ?? layouts.find((one) => one.nome === "compras") ?? layouts[0];
  const take = (files) => {
    tell("");
    if (!files?.length) return;
    if (files.length > 1) return tell("Envie um arquivo de cada vez.");
    if (!FORMATS.some((ending) => files[0].name.toLowerCase().endsWith(ending))) return tell(`${files[0].name}: só se aceitam ${FORMATS.join(", ")}.`);
    setFile(files[0]);
  };
  const send = async (mayRepeat) => {
    progress(0);
    tell("");
    try {
      const path = withQuery(`/intake/${layout.nome}/arquivo`, { nome: file.name, confirmar: needsLook ? "sim" : "nao", repetir: mayRepeat ? "true" : undefined });
      const answer = await upload(path, file, progress);
      announce(`${file.name} recebido.`);
      await afterChange();
      go(`/importacao/${answer.import_id}`);
    } catch (failure) {
      progress(null);
      const earlier = failure.status === 409 && /\/imports\/(\d+)$/.exec(failure.location ?? "")?.[1];
      if (earlier) askRepeat(file.name, earlier, () => send(true));
      else tell(whatWentWrong(failure));
    }
  };
  const submit = (event) => {
    event.preventDefault();
    if (share !== null) return;
    if (!file) {
      tell("Escolha um arquivo.");
      input.current.focus();
      return;
    }
    send(false);
  };
  const drop = (event) => {
    event.preventDefault();
    over(false);
    take(event.dataTransfer.files);
  };
  return html`<form class="upload" onSubmit=${submit}>
    <label>O que há na planilha<select name="layout" onChange=${(event) => refine({ layout: event.target.value })}>
      ${layouts.map((one) => html`<option key=${one.nome} value=${one.nome} selected=${one === layout}>${one.rotulo}</option>`)}</select></label>
    <label class="drop ${isOver ? "over" : ""}" onDragOver=${(event) => (event.preventDefault(), over(true))} onDragLeave=${() => over(false)} onDrop=${drop}>
      <${Icon} name="plus" /><span><strong>${file ? file.name : "Escolha um arquivo, ou arraste-o até aqui"}</strong>
        <span class="hint">${file ? bytes(file.size) : `${FORMATS.join(", ")}, com os nomes das colunas na primeira linha`}</span></span>
      <input ref=${input} class="unseen" type="file" name="arquivo" accept=${FORMATS.join(",")} onChange=${(event) => take(event.target.files)} /></label>
    <label class="choice"><input type="checkbox" checked=${needsLook} onChange=${(event) => look(event.target.checked)} /><span>Mostrar antes o que muda
      <span class="hint">${needsLook ? "Nada é gravado até você confirmar." : "As linhas que servem são gravadas logo; as outras são recusadas, com o motivo."}</span></span></label>
    ${share !== null && html`<div class="job-progress"><${Progress} value=${share * 100} label=${`Enviando ${file.name}`} /><span>${percent(Math.floor(share * 100))}</span></div>`}
    <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
    <div class="card-actions"><${Button} type="submit" kind="primary" busy=${share !== null}>${share !== null ? "Enviando…" : "Enviar"}<//>
      <${Save} path=${`/layouts/${layout.nome}/modelo.xlsx`} name=${`${layout.nome}-modelo.xlsx`} kind="" label="Planilha modelo" /></div>
    <details class="more"><summary>As colunas desta planilha (${layout.colunas.length})</summary><ul class="columns-list">
      ${layout.colunas.map((one) => html`<li key=${`${one.nome}${one.entidade}`}>${one.nome}${one.obrigatoria && html` <span class="muted small">obrigatória</span>`}</li>`)}</ul></details>
  </form>`;
}

function askRepeat(name, earlier, act) {
  showDialog(function Repeat({ close }) {
    const repeat = () => {
      close();
      act();
    };
    return html`<${Dialog} title="Este arquivo já foi importado" onClose=${close}><p class="dialog-text">${name} tem o mesmo conteúdo de um arquivo que já veio, na <a href=${placeOf(earlier)} onClick=${close}>importação ${earlier}</a>. Importar de novo só muda o que tiver mudado desde então.</p>
      <div class="dialog-actions"><${Button} onClick=${close}>Voltar<//><${Button} kind="primary" onClick=${repeat}>Importar de novo<//></div><//>`;
  });
}

// --- the list ---------------------------------------------------------------------------------------------------------

const ImportState = ({ of }) => html`<${Badge} tone=${IMPORT[of.phase][0]}>${IMPORT[of.phase][1]}<//>`;

const IMPORTS = [
  {
    title: "Importação",
    kind: "name",
    cell: (one) => html`<a class="row-link" href=${placeOf(one.id)}>${nameOf(one)}</a>
      <span class="muted small">${[`${one.id}`, one.layout, DOORS[one.door], one.requested_by && who(one.requested_by)].filter(Boolean).join(" · ")}</span>`,
  },
  { title: "Estado", cell: (one) => html`<${ImportState} of=${one} />` },
  { title: "Linhas", kind: "number", cell: (one) => integer(one.rows) },
  { title: "Gravadas", kind: "number", cell: (one) => html`${integer(one.processed)}${one.unchanged > 0 && html` <span class="small muted">${integer(one.unchanged)} sem mudança</span>`}` },
  { title: "Esperam", kind: "number", isNeeded: waiting, cell: (one) => integer(waiting(one)) },
  { title: "Recusadas", kind: "number", cell: (one) => (one.rejected ? html`<span class="warn-text">${integer(one.rejected)}</span>` : "0") },
  { title: "Recebida", kind: "number", cell: (one) => html`<${When} moment=${one.created_at} />` },
];

const DOOR_CHOICES = [["", "Todas"], ...Object.entries(DOORS)];
const STATE_CHOICES = [["", "Todos"], ["received", "recebidas"], ["checked", "conferidas"], ["processing", "gravando"], ["done", "terminadas"], ["refused", "recusadas"], ["discarded", "descartadas"]];

function ImportList() {
  const { query } = route.use();
  const asked = { layout: query.de, state: query.estado, door: query.porta, limit: 20 };
  const { data, error, again, pager } = usePaged("/imports", asked, (known) => (known?.imports.some(isUnfinished) ? 3000 : 15000));
  const isFiltered = query.de || query.estado || query.porta;
  const choice = (name, label, choices) => html`<label>${label}<select name=${name} onChange=${(event) => refine({ [name]: event.target.value || undefined })}>
      ${choices.map(([value, text]) => html`<option key=${value} value=${value} selected=${(query[name] ?? "") === value}>${text}</option>`)}</select></label>`;
  return html`<div class="filters">${choice("estado", "Estado", STATE_CHOICES)}${choice("porta", "Como veio", DOOR_CHOICES)}</div>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${again} />`
          : html`<${Skeleton} lines=${4} />`
        : data.imports.length
          ? html`<${Table} columns=${IMPORTS} rows=${data.imports} caption="Importações" />${pager("")}`
          : html`<${Empty} title=${isFiltered ? "Nenhuma importação passa por estes filtros" : "Nada veio ainda"}>${isFiltered ? "" : "Envie uma planilha acima; docs/intake.md diz como enviar pela API."}<//>`
    }`;
}

// --- one import -------------------------------------------------------------------------------------------------------

export function ImportView({ parts }) {
  const id = /^\d{1,18}$/.test(parts[1]) ? parts[1] : "0";
  const path = addressOf(id);
  const { data: one, error } = useLive(path, (known) => (isUnfinished(known) ? 1500 : 20000));
  useEffect(() => nameView(`Importação ${id}`), [id]);
  const phase = one?.phase;
  const before = useRef(phase);
  useEffect(() => {
    if (before.current && phase && before.current !== phase) {
      announce(`Importação ${id}: ${IMPORT[phase][1]}.`);
      forgetAnswers(); // lists of what it has changed
      refresh(`${path}/rows`, "/imports/resumo", "/entities");
    }
    before.current = phase;
  }, [phase]);
  if (!one)
    return error?.status === 404 || error?.status === 422
      ? html`<${Card}><${Empty} title=${`A importação ${id} não existe`} icon="error"><a href="#/entradas">Ver as importações</a><//><//>`
      : error
        ? html`<${Trouble} error=${error} again=${() => refresh(path)} />`
        : html`<div class="card"><${Skeleton} lines=${8} /></div>`;
  const facts = [
    ["Layout", html`<a href=${hashOf("/entradas", { de: one.layout })}>${one.layout}</a>`],
    ["Como veio", DOORS[one.door]],
    ["De quem", one.requested_by ? who(one.requested_by) : "—"],
    ["Recebida", html`<${When} moment=${one.created_at} />`],
    one.confirmed_at && ["Confirmada", html`<${When} moment=${one.confirmed_at} /> <span class="muted small">${one.confirmed_by ? who(one.confirmed_by) : ""}</span>`],
    ["Terminada", html`<${When} moment=${one.ended_at} />`],
    one.file_bytes !== null && ["Tamanho", bytes(one.file_bytes)],
    ["Linhas", integer(one.rows)],
  ].filter(Boolean);
  return html`<nav class="crumbs" aria-label="Caminho"><a href="#/entradas">Entradas</a> <span aria-hidden="true">/</span> <span aria-current="page">${one.id}</span></nav>
    <header class="view-head"><div class="title-line"><h1>${nameOf(one)}</h1><${ImportState} of=${one} /></div>
      <div class="head-actions">${isUnfinished(one) && one.phase !== "receiving" && html`<${Button} may=${mayTakeIn(one.layout)} icon="stop" kind="danger-quiet" onClick=${() => askDiscard(one)}>Descartar<//>`}</div></header>
    ${one.fault && html`<div class="verdict bad" role="note"><p>${one.fault}</p><p class="muted">${one.processed ? "O que já foi gravado fica." : "Nada deste arquivo foi gravado."} Corrija e envie de novo.</p></div>`}
    ${isUnfinished(one) && html`<${Advance} one=${one} />`}
    <${Card} id="fatos" title="Importação"><dl class="facts wide">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl><${Notes} notes=${one.notes} held=${one.phase === "held"} /><//>
    ${one.preview.length > 0 && html`<${Preview} one=${one} />`}
    ${one.rows > 0 && html`<${Card} id="linhas" title="Linhas" aside=${one.rejected > 0 && html`<${Save} path=${`${path}/erros.csv`} name=${`importacao-${one.id}.erros.csv`} label="Erros em CSV" />`}><${Rows} one=${one} /><//>`}
    ${one.job_id && html`<${Card} id="registro" title="Registro"><${Log} job=${{ id: one.job_id, status: isUnfinished(one) ? "running" : "success" }} /><//>`}`;
}

const AT_WORK = {
  receiving: "O arquivo está chegando.",
  queued: "Espera que um processo de entradas o pegue.",
  checking: "As linhas estão sendo lidas e conferidas.",
  processing: "As linhas estão sendo gravadas.",
};

function Advance({ one }) {
  const done = one.rows - one.pending;
  const share = one.phase === "processing" && one.rows ? (100 * done) / one.rows : null;
  return html`<${Card}><p>${AT_WORK[one.phase]}</p>${share !== null && html`<div class="job-progress"><${Progress} value=${share} label="Linhas gravadas" /><span>${integer(done)} de ${integer(one.rows)}</span></div>`}<//>`;
}

function Notes({ notes, held }) {
  const unknown = notes.unknown_columns ?? [];
  const changed = held ? notes.changed_since ?? 0 : 0;
  return html`${changed > 0 && html`<p class="note warn">${changed === 1 ? "Um registro mudou" : `${integer(changed)} registros mudaram`} depois da prévia que foi confirmada, e esta planilha gravaria por cima: olhe a prévia de novo.</p>`}${unknown.length > 0 && html`<p class="note warn">${unknown.length === 1 ? "Uma coluna não é deste layout e foi deixada de lado" : "Estas colunas não são deste layout e foram deixadas de lado"}: ${unknown.join(", ")}.</p>`}`;
}

const PREVIEW = (held) => [
  { title: "Entidade", kind: "name", cell: (one) => one.entity },
  { title: "Linhas", kind: "number", cell: (one) => integer(one.rows) },
  { title: held ? "Criaria" : "Criou", kind: "number", cell: (one) => integer(one.create) },
  { title: held ? "Mudaria" : "Mudou", kind: "number", cell: (one) => integer(one.change) },
  { title: "Sem mudança", kind: "number", cell: (one) => integer(one.none) },
  { title: "Removeu", kind: "number", isNeeded: (one) => one.remove, cell: (one) => integer(one.remove) },
  { title: "Repetidas", kind: "number", isNeeded: (one) => one.repeated, cell: (one) => integer(one.repeated) },
  { title: "Esperam", kind: "number", cell: (one) => integer(one.waiting) },
  { title: "Por ver", kind: "number", isNeeded: (one) => one.unknown, cell: (one) => integer(one.unknown) },
  { title: "Recusadas", kind: "number", cell: (one) => (one.rejected ? html`<span class="warn-text">${integer(one.rejected)}</span>` : "0") },
];

function Preview({ one }) {
  const held = one.phase === "held";
  const isBefore = held || ["queued", "checking"].includes(one.phase);
  return html`<${Card} id="previa" title=${held ? "Prévia: nada foi gravado ainda" : "O que as linhas fizeram"}>
    <${Table} columns=${PREVIEW(isBefore)} rows=${one.preview} caption=${held ? "Prévia" : "Resultado"} keyOf=${(each) => each.entity} />
    ${one.preview.some((each) => each.waiting) && html`<p class="note">Linhas que esperam se referem a um registro que ainda não existe. São gravadas assim que ele vier, e recusadas depois de 30 dias.${isBefore ? " Estão contadas também entre as que criariam ou mudariam um registro." : ""}</p>`}
    ${one.preview.some((each) => each.repeated) && html`<p class="note">De chaves repetidas no arquivo vale a última linha.</p>`}
    ${held && html`<div class="card-actions"><${Button} may=${mayTakeIn(one.layout)} kind="primary" icon="ok" onClick=${() => askConfirm(one)}>Confirmar<//>
      <${Button} may=${mayTakeIn(one.layout)} kind="danger-quiet" icon="close" onClick=${() => askDiscard(one)}>Descartar<//></div>`}<//>`;
}

function askConfirm(one) {
  const good = one.rows - one.rejected;
  confirm({
    title: `Confirmar ${nameOf(one)}?`,
    text: html`<p>${plural(good, "linha é gravada", "linhas são gravadas")}${one.rejected ? `; ${plural(one.rejected, "foi recusada e fica", "foram recusadas e ficam")} de fora` : ""}.</p>`,
    action: "Confirmar",
    act: async () => {
      await request("POST", `${addressOf(one.id)}/confirm`);
      toast(`Importação ${one.id} confirmada.`);
      await afterChange();
    },
  });
}

function askDiscard(one) {
  const isBegun = one.processed + one.unchanged > 0;
  confirm({
    title: `Descartar ${nameOf(one)}?`,
    text: html`<p>${isBegun ? "O que já foi gravado fica; o resto não é gravado." : "Nenhuma linha é gravada."}</p>`,
    action: "Descartar",
    kind: "danger",
    act: async () => {
      await request("POST", `${addressOf(one.id)}/discard`);
      toast(`Importação ${one.id} descartada.`);
      await afterChange();
    },
  });
}

// --- its rows ---------------------------------------------------------------------------------------------------------

const TABS = [
  ["rejected", "Recusadas", "rejected"],
  ["pending", "Esperam", "pending"],
  ["processed", "Gravadas", "processed"],
  ["unchanged", "Sem mudança", "unchanged"],
];

function Rows({ one }) {
  const { query } = route.use();
  const first = TABS.find(([, , count]) => one[count] > 0)?.[0] ?? "rejected";
  const chosen = TABS.some(([state]) => state === query.linhas) ? query.linhas : first;
  const { data, error, again, pager } = usePaged(`${addressOf(one.id)}/rows`, { state: chosen, limit: 50 }, isUnfinished(one) ? 4000 : 60000);
  return html`<div class="filters"><label>Mostrar<select name="linhas" onChange=${(event) => refine({ linhas: event.target.value })}>
      ${TABS.map(([state, name, count]) => html`<option key=${state} value=${state} selected=${state === chosen}>${name} (${integer(one[count])})</option>`)}</select></label></div>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${again} />`
          : html`<${Skeleton} lines=${4} />`
        : data.rows.length
          ? chosen === "rejected"
            ? html`<${Table} columns=${CELLS} rows=${data.rows.flatMap(cellsOf)} caption="Valores recusados" keyOf=${(cell) => cell.id} />${pager("")}`
            : html`<${Table} columns=${ROWS} rows=${data.rows} caption="Linhas" keyOf=${(row) => `${row.row}${row.entity}`} />${pager("")}`
          : html`<${Empty} title="Nenhuma linha assim" icon="ok" />`
    }`;
}

const cellsOf = (row) => row.errors.map((each, n) => ({ ...each, id: `${row.row} ${row.entity} ${n}`, row: row.row, entity: row.entity }));

const CELLS = [
  { title: "Linha", kind: "number", cell: (one) => integer(one.row) },
  { title: "Coluna", kind: "name", cell: (one) => one.column || html`<span class="muted">a linha inteira</span>` },
  { title: "Valor", cell: (one) => (one.value === "" ? html`<span class="muted">vazio</span>` : html`<span class="mono">${one.value}</span>`) },
  { title: "Motivo", kind: "error-cell", cell: (one) => one.message },
  { title: "Entidade", cell: (one) => html`<span class="muted">${one.entity}</span>` },
];

const ROWS = [
  { title: "Linha", kind: "number", cell: (one) => integer(one.row) },
  { title: "Registro", kind: "name", cell: (one) => recordOf(one.entity, one.key, one.state === "processed" || one.state === "unchanged") },
  { title: "Entidade", cell: (one) => html`<span class="muted">${one.entity}</span>` },
  { title: "Estado", cell: (one) => html`<${Badge} tone=${ROW[one.state][0]}>${ROW[one.state][1]}<//>` },
  { title: "O que faz", cell: (one) => ACTION[one.action] ?? "—" },
  { title: "Espera", isNeeded: (one) => one.waits_for, cell: (one) => (one.waits_for ? html`<span class="mono">${one.waits_for.entity}/${one.waits_for.key}</span>` : "—") },
];

function recordOf(entity, key, isThere) {
  const place = isThere ? placeOfRecord(entity, key) : null;
  return place ? html`<a class="row-link" href=${hashOf(place)}>${key}</a>` : html`<span class="mono">${key ?? "—"}</span>`;
}
