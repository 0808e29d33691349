// Records of one's own: the declared entities, the list of each, and one record with where it came from.
import { confirm, showDialog, whatWentWrong } from "./actions.js";
import { forgetAnswers, useAnswer } from "./answers.js";
import { request } from "./api.js";
import { placeOfNumber, placeOfRecord, textOf } from "./described.js";
import { Save } from "./exports.js";
import { toNumber } from "./filters.js";
import { cnpj, integer, plural, wallTime } from "./format.js";
import { Field, focusFault } from "./forms.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { Records } from "./records.js";
import { go, hashOf, nameView, route } from "./router.js";
import { mayTakeIn, mayWrite } from "./session.js";
import { Badge, Button, Card, Dialog, Empty, Skeleton, Table, toast, Trouble, When } from "./ui.js";
import { ACTION, DOORS, ROW, who, YES_NO } from "./words.js";

const PERSONAL = ["cpf", "cpf_cnpj"];
const placeOf = (entity) => `/cadastros/${entity}`;

export function Registers() {
  const [, name] = route.use().parts;
  return name ? html`<${EntityList} key=${name} name=${name} />` : html`<${Index} />`;
}

function Index() {
  const { data, error } = useLive("/entities", 20000);
  return html`<header class="view-head"><div><h1>Cadastros</h1>
    <p class="muted">Os registros próprios, que vêm por <a href="#/entradas">Entradas</a>. O que há neles está em arquivos; aqui se vê, se corrige e se remove.</p></div></header>
    ${
      !data
        ? error
          ? html`<${Trouble} error=${error} again=${() => refresh("/entities")} />`
          : html`<div class="card"><${Skeleton} lines=${6} /></div>`
        : html`<div class="two-cards">${data.entidades.filter((one) => one.nome !== "conciliacao").map((one) => html`<${EntityCard} key=${one.nome} one=${one} labels=${Object.fromEntries(data.entidades.map((each) => [each.nome, each.rotulo]))} />`)}</div>`
    }`;
}

const countOf = (one) => (one.registros === null ? "—" : `${one.registros_tipo === "minimo" ? "mais de " : ""}${integer(one.registros)}`);

function EntityCard({ one, labels }) {
  const references = [...new Set(one.colunas.map((each) => each.refere).filter(Boolean))];
  return html`<${Card} id=${`entity-${one.nome}`} title=${html`<a href=${hashOf(placeOf(one.nome))}>${one.rotulo}</a>`} aside=${!one.recebe && html`<${Badge} tone="quiet">só leitura<//>`}>
    <dl class="facts wide"><div><dt>Registros</dt><dd>${countOf(one)}</dd></div>
      <div><dt>Última mudança</dt><dd>${wallTime(one.alterada_em)}</dd></div>
      <div><dt>Chave</dt><dd>${one.chave.join(" / ")}</dd></div>
      ${references.length > 0 && html`<div><dt>Refere-se a</dt><dd>${references.map((name, n) => html`${n > 0 && ", "}<a key=${name} href=${hashOf(placeOf(name))}>${labels[name] ?? name}</a>`)}</dd></div>`}</dl>
    <div class="card-actions"><a class="button" href=${hashOf(placeOf(one.nome))}>Ver registros<span class="unseen">: ${one.rotulo}</span></a>
      ${one.recebe && html`<a class="button" href=${hashOf("/entradas", { layout: one.nome })}>Enviar planilha<span class="unseen">: ${one.rotulo}</span></a>
        <${Save} path=${`/entities/${one.nome}/modelo.xlsx`} name=${`${one.nome}-modelo.xlsx`} kind="" label="Modelo" />`}</div><//>`;
}

// --- the list ---------------------------------------------------------------------------------------------------------

// Keys that are numbers of persons are masked, and lead nowhere; an administrator is shown them.
function EntityList({ name }) {
  const { data, error, again } = useAnswer("/entities");
  useEffect(() => nameView("Cadastros"), []);
  if (!data) return error ? html`<${Trouble} error=${error} again=${again} />` : html`<div class="card"><${Skeleton} lines=${8} /></div>`;
  const one = data.entidades.find((each) => each.nome === name);
  if (!one) return html`<${Card}><${Empty} title=${`O cadastro ${name} não existe`} icon="error"><a href="#/cadastros">Ver os cadastros</a><//><//>`;
  const hasPersonalKey = one.colunas.some((each) => one.chave.includes(each.nome) && PERSONAL.includes(each.tipo));
  const controls = one.colunas.filter((each) => each.tipo === "control_number").map((each) => each.nome);
  const references = one.colunas.filter((each) => each.refere);
  const show = {
    columnsOf: (described) => ["chave", described.titulo, ...shownOf(one, described.titulo)].filter((each, n, all) => all.indexOf(each) === n),
    linkOf: (row) => (one.recebe ? placeOfRecord(name, row.chave) : null),
    cells: {
      ...Object.fromEntries(controls.map((each) => [each, (row) => linkTo(placeOfNumber(row[each]), row[each])])),
      ...Object.fromEntries(references.map((each) => [each.nome, (row) => linkTo(row[each.nome] && placeOfRecord(each.refere, row[each.nome]), row[each.nome])])),
    },
    empty: "Ainda não há registros",
    hint: html`Envie-os em <a href=${hashOf("/entradas", { layout: name })}>Entradas</a>.`,
  };
  const extra = hasPersonalKey && mayWrite() ? { dados_pessoais: "true" } : {};
  return html`<nav class="crumbs" aria-label="Caminho"><a href="#/cadastros">Cadastros</a> <span aria-hidden="true">/</span> <span aria-current="page">${one.rotulo}</span></nav>
    <${Records} place=${`cadastros/${name}`} list=${[one.endereco, "registro", "registros"]} show=${show} extra=${extra} />`;
}

// What there is room for beside the key and the title: figures, days and references first
const ROOM = 5;
const FIRST = ["number", "day", "moment", "boolean"];

function shownOf(one, title) {
  const others = one.colunas.filter((each) => each.tipo !== "json" && each.nome !== title && !(one.chave.length === 1 && one.chave.includes(each.nome)));
  const isFirst = (each) => each.refere || FIRST.includes(each.tipo);
  const chosen = new Set([...others.filter(isFirst), ...others.filter((each) => !isFirst(each))].slice(0, ROOM));
  return others.filter((each) => chosen.has(each)).map((each) => each.nome);
}

const linkTo = (place, text) => (place ? html`<a href=${hashOf(place)}>${cnpj(text)}</a>` : (cnpj(text) ?? "—"));

// --- one record -------------------------------------------------------------------------------------------------------

// A number as it was written: ours would lose digits.
export function exact(text) {
  return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (part) => (part.startsWith('"') ? part : `"${part}"`)));
}

export function RecordView({ parts }) {
  const entity = parts[1];
  const key = decodeURIComponent(parts.slice(2).join("/"));
  const address = `/entities/${entity}/records/${key.split("/").map(encodeURIComponent).join("/")}`;
  const schema = useAnswer(`/entities/${entity}`);
  const { data: one, error } = useLive(address, 15000);
  useEffect(() => nameView(key), [key]);
  // lists that were seen before it changed
  const seen = useRef(null);
  const state = one && `${one.updated_at} ${one.removed_at}`;
  useEffect(() => {
    if (seen.current && state && seen.current !== state) forgetAnswers();
    seen.current = state ?? seen.current;
  }, [state]);
  const again = () => refresh(address);
  if (!one || !schema.data)
    return [error, schema.error].some((each) => each?.status === 404 || each?.status === 422)
      ? html`<${Card}><${Empty} title="Não há este registro" icon="error"><a href=${hashOf("/cadastros")}>Ver os cadastros</a><//><//>`
      : (error ?? schema.error)
        ? html`<${Trouble} error=${error ?? schema.error} again=${again} />`
        : html`<div class="card"><${Skeleton} lines=${8} /></div>`;
  const { properties, title } = schema.data;
  const may = mayTakeIn(entity);
  return html`<nav class="crumbs" aria-label="Caminho"><a href="#/cadastros">Cadastros</a> <span aria-hidden="true">/</span> <a href=${hashOf(placeOf(entity))}>${title}</a> <span aria-hidden="true">/</span> <span aria-current="page">${cnpj(one.key)}</span></nav>
    <header class="view-head"><div class="title-line"><h1>${cnpj(one.key)}</h1>${one.removed_at && html`<${Badge} tone="bad">removido<//>`}</div>
      <div class="head-actions">${!one.removed_at && html`<${Button} may=${may} onClick=${() => askCorrect(entity, one, schema.data, address)}>Corrigir<//>
        <${Button} may=${may} kind="danger-quiet" onClick=${() => askRemove(one, address, entity)}>Remover<//>`}</div></header>
    ${one.removed_at && html`<p class="note bad">Removido <${When} moment=${one.removed_at} />. O conteúdo é apagado depois de 30 dias; até lá, o mesmo registro enviado de novo volta como era.</p>`}
    ${one.source && html`<p class="note">É lido do banco de dados <strong>${one.source}</strong>: a próxima leitura completa desfaz uma correção feita aqui.</p>`}
    <div class="columns"><div class="stack">
      <${Card} id="valores" title="Valores"><dl class="pairs">${Object.entries(properties).map(([name, kind]) => html`<div key=${name}><dt>${kind.title}</dt><dd>${valueOf(name, kind, one.data[name])}</dd></div>`)}</dl><//>
      <${Card} id="importacoes" title="Por onde veio">${one.imports.length ? html`<${Table} columns=${IMPORTS} rows=${one.imports} caption="Importações deste registro" keyOf=${(each) => `${each.import_id} ${each.row}`} />` : html`<p class="calm">Nenhuma importação guardada.</p>`}<//>
    </div><div class="stack">
      <${Card} id="datas" title="Registro"><dl class="facts wide"><div><dt>Criado</dt><dd><${When} moment=${one.created_at} /></dd></div><div><dt>Mudado</dt><dd><${When} moment=${one.updated_at} /></dd></div></dl><//>
      <${Card} id="refere" title="Refere-se a"><${References} references=${one.refers_to} none="A nada" /><//>
      <${Card} id="referido" title="É referido por"><${References} references=${one.referred_by} none="Por nada" />${one.referred_count > one.referred_by.length && html`<p class="muted small">e mais ${integer(one.referred_count - one.referred_by.length)}</p>`}<//>
    </div></div>`;
}

const References = ({ references, none }) =>
  references.length
    ? html`<ul class="columns-list">${references.map((each) => html`<li key=${`${each.entity}/${each.key}/${each.column}`}>${linkTo(placeOfRecord(each.entity, each.key), each.key)} <span class="muted small">${each.entity} · ${each.column}</span></li>`)}</ul>`
    : html`<p class="calm">${none}</p>`;

const IMPORTS = [
  { title: "Importação", kind: "name", cell: (one) => html`<a class="row-link" href=${hashOf(`/importacao/${one.import_id}`)}>${one.file_name ?? `importação ${one.import_id}`}</a>
      <span class="muted small">${[`linha ${one.row}`, DOORS[one.door], one.requested_by && who(one.requested_by)].filter(Boolean).join(" · ")}</span>` },
  { title: "Estado", cell: (one) => html`<${Badge} tone=${ROW[one.state][0]}>${ROW[one.state][1]}<//>` },
  { title: "O que fez", cell: (one) => ACTION[one.action] ?? "—" },
  { title: "Quando", kind: "number", cell: (one) => html`<${When} moment=${one.created_at} />` },
];

// --- what a value is --------------------------------------------------------------------------------------------------

const typeOf = (kind) => [kind.type ?? "json"].flat().find((one) => one !== "null");
const isMoment = (kind) => /T\[0-9\]/.test(kind.pattern ?? "");

function kindOf(kind) {
  const type = typeOf(kind);
  if (kind.format === "date") return "dia";
  if (type === "string") return isMoment(kind) ? "momento" : "texto";
  return { integer: "inteiro", number: "numero", boolean: "booleano" }[type] ?? "json";
}

function valueOf(name, kind, value) {
  if (value === null || value === undefined) return html`<span class="muted">—</span>`;
  const place = kind["x-refere"] ? placeOfRecord(kind["x-refere"], value) : placeOfNumber(value);
  const text = textOf({ nome: name, tipo: kindOf(kind) }, value);
  return place ? html`<a href=${hashOf(place)}>${cnpj(text)}</a>` : kindOf(kind) === "texto" ? cnpj(text) : text;
}

// --- what changes it --------------------------------------------------------------------------------------------------

// A number as people write it here, without losing a digit
const shownNumber = (text) => (/[eE]/.test(text) ? text : text.replace(".", ","));

async function askCorrect(entity, one, schema, address) {
  let stored;
  try {
    stored = exact(await request("GET", address, { asText: true })).data;
  } catch (error) {
    toast(whatWentWrong(error), "bad");
    return;
  }
  showDialog(({ close }) => html`<${Correction} entity=${entity} one=${one} schema=${schema} stored=${stored} address=${address} close=${close} />`);
}

function writtenOf(kind, value) {
  if (value === null || value === undefined) return "";
  const type = kindOf(kind);
  if (type === "numero") return shownNumber(value);
  return type === "json" ? JSON.stringify(value) : String(value);
}

// A value as JSON, or what is wrong with it
function toJson(kind, written) {
  const text = written.trim();
  if (text === "") return { json: "null" };
  const type = kindOf(kind);
  if (type === "numero" || type === "inteiro") {
    const number = toNumber(text);
    return number === null || (type === "inteiro" && number.includes(".")) ? { fault: type === "inteiro" ? "Escreva um número inteiro." : "Escreva um número, como 1.500,00." } : { json: number.replace(/^(-?)0+(?=\d)/, "$1") };
  }
  if (type === "booleano") return { json: text };
  if (type === "json") {
    try {
      JSON.parse(text);
    } catch {
      return { fault: "Escreva JSON." };
    }
    return { json: text };
  }
  return { json: JSON.stringify(text) };
}

function Correction({ entity, one, schema, stored, address, close }) {
  const isKey = (name) => schema["x-chave"].includes(name);
  const names = Object.keys(schema.properties).filter((name) => !isKey(name) && kindOf(schema.properties[name]) !== "json");
  const [values, setValues] = useState(() => Object.fromEntries(names.map((name) => [name, writtenOf(schema.properties[name], stored[name])])));
  const [faults, setFaults] = useState({});
  const [trouble, tell] = useState("");
  const [busy, setBusy] = useState(false);
  const form = useRef();
  const refuse = (found) => {
    setFaults(found);
    focusFault(form.current, Object.keys(found));
  };
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    const made = names.map((name) => [name, values[name] === writtenOf(schema.properties[name], stored[name]) ? rawOf(schema.properties[name], stored[name]) : toJson(schema.properties[name], values[name])]);
    const wrong = Object.fromEntries(made.filter(([, each]) => each.fault).map(([name, each]) => [name, each.fault]));
    for (const name of schema.required) if (!isKey(name) && values[name]?.trim() === "") wrong[name] = "Preencha este campo.";
    if (Object.keys(wrong).length) return refuse(wrong);
    // what this form does not show goes back as it came
    const others = Object.keys(schema.properties).filter((name) => !isKey(name) && !names.includes(name) && stored[name] !== undefined && stored[name] !== null);
    if (others.length) return tell("Este registro tem valores em JSON, que se corrigem pela API.");
    setBusy(true);
    tell("");
    setFaults({});
    try {
      const written = `{${made.map(([name, each]) => `${JSON.stringify(name)}:${each.json}`).join(",")}}`;
      const answer = await request("PUT", address, { written });
      close();
      toast("A correção foi aceita, e é gravada em seguida.", "good", { href: hashOf(`/importacao/${answer.import_id}`), text: "Acompanhar" });
      await refresh("/entities", "/imports");
    } catch (error) {
      const own = Object.fromEntries((error.rejected ?? []).filter((each) => names.includes(each.column)).map((each) => [each.column, each.message]));
      if (Object.keys(own).length) refuse(own);
      else tell((error.rejected ?? []).map((each) => each.message).join(" ") || whatWentWrong(error));
      setBusy(false);
    }
  };
  const set = (name) => (value) => setValues((before) => ({ ...before, [name]: value }));
  return html`<${Dialog} title=${`Corrigir ${cnpj(one.key)}`} onClose=${close} wide><form class="correction" onSubmit=${submit} ref=${form} noValidate>
    <p class="dialog-text">Uma correção fica registrada como importação, com quem a fez.</p>
    <div class="two">${names.map((name) => html`<${Input} key=${name} name=${name} kind=${schema.properties[name]} value=${values[name]} fault=${faults[name]} change=${set(name)} isRequired=${schema.required.includes(name)} />`)}</div>
    <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
    <div class="dialog-actions"><${Button} onClick=${close}>Voltar<//><${Button} type="submit" may=${mayTakeIn(entity)} kind="primary" busy=${busy}>Gravar<//></div></form><//>`;
}

// A value that was left alone goes back with all of its digits
function rawOf(kind, value) {
  if (value === null || value === undefined) return { json: "null" };
  return { json: ["numero", "inteiro", "booleano"].includes(kindOf(kind)) ? String(value) : JSON.stringify(value) };
}

function Input({ name, kind, value, fault, change, isRequired }) {
  const type = kindOf(kind);
  const choices = kind.enum?.filter((one) => one !== null) ?? (type === "booleano" ? ["true", "false"] : null);
  const label = `${kind.title}${isRequired ? " (obrigatório)" : ""}`;
  if (choices) return html`<label>${label}<select name=${name} onChange=${(event) => change(event.target.value)}>
      ${["", ...choices].map((one) => html`<option key=${one} value=${one} selected=${one === value}>${type === "booleano" && one ? YES_NO[one] : one || "—"}</option>`)}</select></label>`;
  return html`<${Field} name=${name} label=${label} value=${value} fault=${fault} change=${change} type=${type === "dia" ? "date" : "text"} inputmode=${type === "numero" || type === "inteiro" ? "decimal" : undefined}
    maxlength=${kind.maxLength} autocomplete="off" spellcheck=${false} />`;
}

function askRemove(one, address, entity) {
  confirm({
    title: `Remover ${cnpj(one.key)}?`,
    text: html`<p>O registro sai das listas e das entregas.${one.referred_count ? ` ${plural(one.referred_count, "registro se refere", "registros se referem")} a ele: enquanto for assim, não pode ser removido.` : ""}</p>`,
    action: "Remover",
    kind: "danger",
    act: async () => {
      const answer = await request("DELETE", address);
      toast("Registro removido.", "good", { href: hashOf(`/importacao/${answer.import_id}`), text: "Ver" });
      forgetAnswers();
      await refresh("/entities", "/imports");
      go(placeOf(entity));
    },
  });
}
