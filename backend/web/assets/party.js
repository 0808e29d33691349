// A supplier or a buyer: what it is called, what names it in the mirror, and what the API adds up of it.
import { useAnswer } from "./answers.js";
import { hashOfList, MirrorNote, PLACE_OF, useDescription } from "./described.js";
import { cnpj, integer, money, plural, shortMoney, wallDay } from "./format.js";
import { html, useEffect } from "./preact.js";
import { AllFields } from "./process.js";
import { columnsOf, RecordTable } from "./records.js";
import { nameView } from "./router.js";
import { Badge, Card, Copy, Empty, Skeleton, Table, Trouble } from "./ui.js";
import { letterName } from "./words.js";

const NAMES = { fornecedor: "Fornecedor", orgao: "Órgão" };
const LISTED = {
  contratos: "Contratos e empenhos", contratacoes: "Contratações", atas: "Atas de registro de preços", itens: "Itens", itens_pca: "Itens de planos", pcas: "Planos de contratação anual",
  unidades: "Unidades", resultados: "Resultados de itens", termos_contrato: "Termos de contratos", instrumentos_cobranca: "Instrumentos de cobrança",
};

export function PartyView({ parts: [place, ...rest] }) {
  const address = Object.keys(PLACE_OF).find((one) => PLACE_OF[one] === place);
  const { data, error, isLoading, again } = useAnswer(`/${[address, ...rest].map(encodeURIComponent).join("/")}`);
  const { data: description } = useDescription(address);
  const name = data?.registro[description?.titulo] ?? "";
  useEffect(() => nameView(name || NAMES[place]), [name, place]);
  if (error && !isLoading)
    return error.status === 404 || error.status === 422 ? html`<header class="view-head"><h1>${NAMES[place]} fora do espelho</h1></header><${Card}><${Empty} title="Nada neste endereço" icon="search"><p>${error.message}</p><//><//>` : html`<${Trouble} error=${error} again=${again} />`;
  if (!data || isLoading || !description) return html`<${Card}><${Skeleton} lines=${6} /><//>`;
  const { registro: one } = data;
  const number = one.ni ?? one.cnpj;
  const sections = Object.entries(data).filter(([key, value]) => !KNOWN.includes(key) && isTable(value));
  return html`<section class="card process-head" aria-labelledby="party-title"><p class="kicker">${NAMES[place]}${one.tipo_pessoa ? ` · ${letterName("tipo_pessoa", one.tipo_pessoa) ?? one.tipo_pessoa}` : ""}
      ${one.esfera_id && html` <${Badge} tone="quiet">${letterName("esfera", one.esfera_id) ?? one.esfera_id}<//>`}${one.poder_id && html` <${Badge} tone="quiet">${letterName("poder", one.poder_id) ?? one.poder_id}<//>`}</p>
      <h1 id="party-title" class="object-title">${name || "Sem nome"}</h1>
      <div class="process-row"><${Copy} text=${number} shown=${cnpj(number)} label="Copiar o número" /></div>
      ${data.raiz && html`<p class="muted">Raiz do CNPJ: ${data.raiz}, a mesma da matriz e das filiais.</p>`}
      <${MirrorNote} mirror=${data.espelho} /></section>
    ${data.nomes?.length > 1 && html`<${Card} title="Nomes nos contratos" id="nomes"><ul class="rows">${data.nomes.map((each) => html`<li key=${each.nome}><span>${each.nome}</span><span class="row-end muted">${plural(each.contratos, "contrato", "contratos")}, até ${wallDay(each.ate)}</span></li>`)}</ul><//>`}
    ${sections.map(([key, value]) => html`<${Sums} key=${key} name=${key} section=${value} />`)}
    <${Named} lists=${data.citada_em} />
    <${AllFields} record=${one} description=${description} />`;
}

const KNOWN = ["entidade", "registro", "endereco", "citada_em", "espelho", "raiz", "nomes", "pertence_a"];
const rowsOf = (value) => (Array.isArray(value) ? value : value?.registros);
const isTable = (value) => Array.isArray(rowsOf(value)) && rowsOf(value).length > 0 && typeof rowsOf(value)[0] === "object";
const titled = (name) => name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());

// What an answer adds up of a party, whichever sections it has: a table of rows of figures.
function Sums({ name, section }) {
  const rows = rowsOf(section);
  const columns = Object.keys(rows[0])
    .filter((key) => !/^(endereco|fonte|payload)$/.test(key) && typeof rows[0][key] !== "object")
    .slice(0, 7)
    .map((key) => ({ title: titled(key), kind: /^valor|^contratos$|^registros$/.test(key) ? "number" : "words",
      cell: (row) => (/^valor/.test(key) ? money(row[key]) : /data|vigencia/.test(key) ? wallDay(row[key]) : /cnpj/.test(key) ? cnpj(row[key]) : typeof row[key] === "number" && key !== "ano" ? integer(row[key]) : (row[key] ?? "—")) }));
  return html`<${Card} title=${titled(name)} id=${`soma-${name}`}><${Table} columns=${columns} rows=${rows} keyOf=${(row) => JSON.stringify(row)} caption=${`Tabela: ${titled(name)}`} /><//>`;
}

function Named({ lists }) {
  const shown = lists.filter((one) => hashOfList(one.endereco));
  if (!shown.length)
    return html`<${Card} title="Onde aparece" id="onde-aparece"><p class="calm">${lists.length ? "As listas que o citam não têm página aqui; estão na API." : "Não há listas para mostrar: o número de uma pessoa física não vai no endereço."}</p><//>`;
  return shown.map((one) => html`<${NamedList} key=${one.endereco} list=${one} />`);
}

const SHOWN = 10;

function NamedList({ list }) {
  const address = list.endereco.slice(1).split("?")[0];
  const { data: description } = useDescription(address);
  const { data, error, again } = useAnswer(`${list.endereco}&limite=${SHOWN}`);
  const title = LISTED[list.entidade] ?? list.entidade;
  const id = `${list.entidade}-${list.campo}`;
  const role = /sub_?rog/.test(list.campo) ? " (como órgão sub-rogado)" : /sub_contratado/.test(list.campo) ? " (como subcontratado)" : "";
  if (!data || !description) return html`<${Card} title=${`${title}${role}`} id=${id}>${error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${4} />`}<//>`;
  if (!data.registros.length) return null;
  const sum = data.total_tipo === "exato" && data.registros.length === data.total ? data.registros.reduce((all, row) => all + (row.valor_global ?? 0), 0) : 0;
  return html`<${Card} title=${`${title}${role}`} id=${id} aside=${html`<span class="count">${data.total_tipo === "minimo" ? "mais de " : ""}${integer(data.total)}</span>`}>
    <${RecordTable} description=${description} columns=${columnsOf(description, list.campo === "ni_fornecedor" ? ["nome_razao_social_fornecedor"] : ["orgao_entidade_razao_social", "nome_orgao"])} rows=${data.registros} caption=${`Lista: ${title}${role}`} />
    ${data.proximo ? html`<p class="load-more"><a class="button small" href=${hashOfList(list.endereco)}>Ver todos</a></p>` : sum > 0 && html`<p class="muted">Somam ${shortMoney(sum)}.</p>`}<//>`;
}

