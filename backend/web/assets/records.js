// A list of the mirror: search, filters, pages by cursor, and how it is exported. What it shows follows from the API.
import { remember, remembered, useAnswer } from "./answers.js";
import { get } from "./api.js";
import { LISTS, MirrorNote, placeOfNumber, shortLabel, textOf, totalText, useDescription } from "./described.js";
import { showDialog } from "./actions.js";
import { ExportDialog } from "./export-dialog.js";
import { Chips, Filters, isFilter, SEARCH } from "./filters.js";
import { integer } from "./format.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { go, hashOf, route } from "./router.js";
import { SaveDialog } from "./saved-searches.js";
import { announce, Button, Card, Empty, Icon, Skeleton, Trouble } from "./ui.js";

const PER_PAGE = 50;
const OWN = ["ordem", "contagem"];
const RELEVANCE = "relevancia";

// `list`: the API's address, and what one and many are called. `extra`: what every request has beside the filters.
// `show`: what the rows show where it is not what the API says, see RecordTable. `Intro` stands above the list.
export function Records({ place, list = LISTS[place], title, Intro, show, extra }) {
  const [address, one, many] = list;
  const { data: description, error, again } = useDescription(address);
  if (!description || description.endereco !== address)
    return error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Card}><${Skeleton} lines=${8} /><//>`;
  return html`<${Listing} key=${place} place=${place} description=${description} words=${{ one, many }} title=${title} Intro=${Intro} show=${show} extra=${extra} />`;
}

function queryOf(description, parameters, names = OWN) {
  const known = [...parameters].filter(([name, value]) => value !== "" && (isFilter(description, name) || names.includes(name)));
  const query = new URLSearchParams(known);
  // an order by words needs words
  if (!query.has(SEARCH) && query.get("ordem")?.startsWith(RELEVANCE)) query.delete("ordem");
  return query;
}

function Listing({ place, description: described, words, title, Intro, show = {}, extra = {} }) {
  const description = show.columnsOf ? { ...described, colunas: show.columnsOf(described) } : described;
  const { parameters } = route.use();
  const query = queryOf(description, parameters);
  const filters = queryOf(description, parameters, []);
  const columns = columnsOf(description);
  const path = pathOf(description, query, [...new Set([...columns.fields, ...(show.more ?? [])])], extra);
  const list = usePages(path);
  const move = (next) => go(`/${place}`, next);
  const change = (name, values) => {
    const next = new URLSearchParams(query);
    next.delete(name);
    next.delete("contagem");
    for (const value of values) next.append(name, value);
    move(next);
  };
  const set = (name, value) => {
    const next = new URLSearchParams(query);
    if (value) next.set(name, value);
    else next.delete(name);
    move(next);
  };
  const clear = () => move(new URLSearchParams(query.get("ordem") ? { ordem: query.get("ordem") } : {}));
  const unknown = [...parameters.keys()].filter((name) => !isFilter(description, name) && !OWN.includes(name));
  const facetsPath = description.facetas.length ? `/${description.endereco}/facetas${filters.size ? `?${filters}` : ""}` : null;
  const chosen = filters.size - (filters.has(SEARCH) ? 1 : 0);
  const form = html`<${Filters} description=${description} parameters=${filters} facetsPath=${facetsPath} change=${change} />`;
  return html`<header class="view-head list-head"><h1>${title ?? description.rotulo}</h1>
      <div class="head-actions"><${Button} icon="bell" onClick=${() => showDialog(({ close }) => html`<${SaveDialog} description=${description} filters=${filters} close=${close} />`)}>Salvar busca<//>
        <${Button} icon="download" onClick=${() => showDialog(({ close }) => html`<${ExportDialog} description=${description} filters=${filters} order=${query.get("ordem")} words=${words} close=${close} />`)}>Exportar<//></div></header>
    ${Intro && html`<${Intro} filters=${filters} />`}
    <${SearchBox} description=${description} value=${filters.get(SEARCH) ?? ""} search=${(text) => set(SEARCH, text)} />
    <${Chips} description=${description} parameters=${filters} change=${change} clear=${clear} />
    ${unknown.length > 0 && html`<p class="note warn" role="alert">Este endereço tem ${unknown.length === 1 ? "um filtro que não existe" : "filtros que não existem"} aqui, e sem efeito: ${unknown.join(", ")}.</p>`}
    <div class="browse">
      <aside aria-label="Filtros"><${Folded} count=${chosen}>${form}<//></aside>
      <section class="card results" aria-label="Resultados">
        <div class="results-head"><p class="total" role="status"><${Total} list=${list} words=${words} isCounting=${query.get("contagem") === "exata"} countAll=${() => set("contagem", "exata")} /></p>
          <${OrderChoice} description=${description} isSearch=${filters.has(SEARCH)} value=${query.get("ordem") ?? ""} choose=${(order) => set("ordem", order)} /></div>
        <${MirrorNote} mirror=${list.pages[0]?.espelho} />
        <${Results} description=${description} columns=${columns} list=${list} words=${words} isFiltered=${filters.size > 0} clear=${clear} show=${show} />
      </section>
    </div>`;
}

// Beside the results where there is room, and folded on a phone.
function Folded({ count, children }) {
  const [isWide, setWide] = useState(() => matchMedia("(min-width: 1001px)").matches);
  useEffect(() => {
    const screen = matchMedia("(min-width: 1001px)");
    const listener = () => setWide(screen.matches);
    screen.addEventListener("change", listener);
    return () => screen.removeEventListener("change", listener);
  }, []);
  if (isWide) return html`<div class="card">${children}</div>`;
  return html`<details class="card fold"><summary><${Icon} name="filter" /> Filtros${count > 0 && html` <span class="count">${count}<span class="unseen"> em uso</span></span>`}</summary>${children}</details>`;
}

function SearchBox({ description, value, search }) {
  const filter = description.filtros.find((one) => one.nome === SEARCH);
  const [text, write] = useState(value);
  const [isHelpOpen, openHelp] = useState(false);
  useEffect(() => write(value), [value]);
  if (!filter) return null;
  const submit = (event) => {
    event.preventDefault();
    const place = placeOfNumber(text.trim());
    if (place) go(place);
    else search(text.trim());
  };
  return html`<form class="search" role="search" onSubmit=${submit}>
    <label class="unseen" for="search-words">Palavras, ou um número de controle</label>
    <div class="search-row"><${Icon} name="search" /><input id="search-words" type="search" value=${text} onInput=${(event) => {
      write(event.target.value);
      if (event.target.value === "" && value) search("");
    }} placeholder="Palavras do objeto, ou um número de controle" autocomplete="off" enterkeyhint="search" maxlength="250" />
      <${Button} type="submit" kind="primary">Buscar<//></div>
    <p class="hint">Acha todas as palavras, com ou sem acento, no singular e no plural.
      <button type="button" class="link" aria-expanded=${isHelpOpen ? "true" : "false"} onClick=${() => openHelp(!isHelpOpen)}>Como buscar melhor</button></p>
    ${isHelpOpen && html`<ul class="search-help"><li><code>pneu OU câmara</code> uma das duas</li><li><code>pneu -recapagem</code> sem a segunda</li>
      <li><code>"merenda escolar"</code> uma depois da outra</li><li><code>medic*</code> o começo da palavra</li></ul>`}
  </form>`;
}

function Total({ list, words, isCounting, countAll }) {
  const [first] = list.pages;
  if (!first) return list.error ? "" : "Buscando…";
  const text = totalText(first, words.one, words.many);
  return html`<strong>${text.charAt(0).toUpperCase()}${text.slice(1)}</strong>${first.total_tipo === "minimo" && html` · <button type="button" class="link" onClick=${countAll}>contar todos</button>`}
    ${isCounting && first.total_tipo === "estimado" && html` <span class="muted">(contar levaria tempo demais)</span>`}`;
}

function OrderChoice({ description, isSearch, value, choose }) {
  const kinds = { numero: ["do maior para o menor", "do menor para o maior"], texto: ["de Z a A", "de A a Z"], inteiro: ["do maior para o menor", "do menor para o maior"] };
  const types = Object.fromEntries(description.filtros.map((one) => [one.nome.replace(/_(de|min)$/, ""), one.tipo]));
  const options = description.ordens.flatMap((one) => {
    if (one.nome === RELEVANCE) return isSearch ? [[`${RELEVANCE}:desc`, "Mais relevantes primeiro"]] : [];
    const [down, up] = kinds[types[one.nome]] ?? ["mais recentes primeiro", "mais antigas primeiro"];
    const label = shortLabel(one.rotulo);
    return [
      [`${one.nome}:desc`, `${label}: ${down}`],
      [`${one.nome}:asc`, `${label}: ${up}`],
    ];
  });
  const first = description.ordens[0];
  const fallback = `${first.nome}:${first.decrescente ? "desc" : "asc"}`;
  const chosen = value ? (value.includes(":") ? value : `${value}:${description.ordens.find((one) => one.nome === value)?.decrescente === false ? "asc" : "desc"}`) : fallback;
  return html`<label class="order"><span>Ordem</span><select name="ordem" onChange=${(event) => choose(event.target.value === fallback ? "" : event.target.value)}>
    ${options.map(([name, label]) => html`<option key=${name} value=${name} selected=${name === chosen}>${label}</option>`)}</select></label>`;
}

// --- pages ---------------------------------------------------------------------------------------------------------

function pathOf(description, query, fields, extra) {
  const parameters = new URLSearchParams([...query, ...Object.entries(extra)]);
  parameters.set("limite", PER_PAGE);
  parameters.set("campos", fields.join(","));
  return `/${description.endereco}?${parameters}`;
}

// The next page is not counted again.
function pageAfter(path, cursor) {
  const [list, query] = path.split("?");
  const parameters = new URLSearchParams(query);
  parameters.set("contagem", "nao");
  parameters.set("cursor", cursor);
  return `${list}?${parameters}`;
}

// {pages, error, isLoading, next, again}: what has been read of a list; kept for the way back.
function usePages(path) {
  const kept = `pages of ${path}`;
  const { data, error, isLoading, again } = useAnswer(path);
  const [more, setMore] = useState({ path, pages: remembered(kept) ?? [] });
  const [state, setState] = useState({ isLoading: false, error: null });
  const wanted = useRef(path);
  wanted.current = path;
  useEffect(() => {
    if (more.path !== path) setMore({ path, pages: remembered(kept) ?? [] });
    setState({ isLoading: false, error: null });
  }, [path]);
  const pages = data ? [data, ...(more.path === path && !isLoading ? more.pages : [])] : [];
  const cursor = pages.at(-1)?.proximo;
  const next = async () => {
    if (state.isLoading) return;
    setState({ isLoading: true, error: null });
    try {
      const page = await get(pageAfter(path, cursor));
      if (wanted.current !== path) return;
      const all = [...(more.path === path ? more.pages : []), page];
      remember(kept, all);
      setMore({ path, pages: all });
      setState({ isLoading: false, error: null });
      announce(`Mais ${page.registros.length} linhas.`);
    } catch (trouble) {
      if (wanted.current === path) setState({ isLoading: false, error: trouble });
    }
  };
  return { pages, error, isLoading, again, next: cursor && !isLoading ? next : null, isLoadingMore: state.isLoading, moreError: state.error };
}

function Results({ description, columns, list, words, isFiltered, clear, show }) {
  if (list.error && !list.isLoading)
    return html`<${Trouble} error=${list.error} again=${list.again} />${isFiltered && html`<p class="centred"><${Button} onClick=${clear}>Limpar filtros<//></p>`}`;
  if (!list.pages.length) return html`<${Skeleton} lines=${12} />`;
  const rows = list.pages.flatMap((page) => page.registros);
  if (!rows.length)
    return html`<${Empty} title=${isFiltered ? "Nada passa por estes filtros" : (show.empty ?? "O espelho ainda não tem registros aqui")} icon="search">
      ${isFiltered ? html`<p>Tire um filtro, ou busque com menos palavras.</p><${Button} onClick=${clear}>Limpar filtros<//>` : (show.hint ?? "Aparecem assim que forem carregados do portal.")}<//>`;
  const total = list.pages[0].total_tipo === "exato" ? ` de ${integer(list.pages[0].total)}` : "";
  return html`<div class="listing" aria-busy=${list.isLoading ? "true" : undefined}>
    <${RecordTable} description=${description} columns=${columns} rows=${rows} caption=${description.rotulo} linkOf=${show.linkOf} textOf=${show.textOf} cells=${show.cells} />
    <div class="load-more">
      ${list.moreError && html`<p class="note bad" role="alert">${list.moreError.message}</p>`}
      ${list.next ? html`<${Button} onClick=${list.next} busy=${list.isLoadingMore}>${list.isLoadingMore ? "Carregando…" : "Carregar mais"}<//>` : html`<span></span>`}
      <p class="muted">${integer(rows.length)}${total} ${words.many}${list.next ? "" : ": é o fim da lista"}</p></div>
  </div>`;
}

// --- rows ----------------------------------------------------------------------------------------------------------

// What the API says has room on a page; the title with the key below it, the município with its UF, and the rest.
export function columnsOf(description, without = []) {
  const fields = Object.fromEntries(description.campos.map((one) => [one.nome, one]));
  const names = description.colunas.filter((name) => !without.includes(name));
  const title = names.find((name) => name === description.titulo) ?? names[0];
  const before = names.slice(0, names.indexOf(title));
  const town = names.find((name) => name.endsWith("municipio_nome"));
  const state = names.find((name) => name.endsWith("uf_sigla"));
  const rest = names.filter((name) => name !== title && !before.includes(name) && !(town && name === state));
  return { title, before, town, state, rest, fields: [...new Set([...description.colunas])].filter((name) => !without.includes(name)), byName: fields };
}

// `linkOf` and `textOf` say where a row leads and what its first column says, and `cells` how others are drawn, by name.
export function RecordTable({ columns, rows, caption, description, linkOf = (row) => placeOfRow(row), textOf: titleOf, cells = {} }) {
  const { title, before, town, state, rest, byName } = columns;
  return html`<div class="table-wrap records" role="region" aria-label=${caption} tabindex="0"><table><caption class="unseen">${caption}</caption>
    <thead><tr><th scope="col">${shortLabel(byName[title].rotulo)}</th>
      ${rest.map((name) => html`<th scope="col" key=${name} class=${kindOf(byName[name])}>${headOf(byName[name], town && state && name === town)}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => {
      const place = linkOf(row);
      const text = (titleOf ? titleOf(row) : String(row[title] ?? "")).trim() || "Sem descrição";
      return html`<tr key=${description.colunas.slice(0, 2).map((name) => row[name]).join(" ")}>
        <td class="object" data-title=${shortLabel(byName[title].rotulo)}>${place ? html`<a class="row-link clamp" href=${hashOf(place)}>${text}</a>` : html`<span class="clamp">${text}</span>`}
          ${before.length > 0 && html`<span class="muted keys">${before.map((name) => (/^numero_item$/.test(name) ? `item ${row[name]}` : textOf(byName[name], row[name]))).join(" · ")}</span>`}</td>
        ${rest.map((name) => html`<td key=${name} class=${kindOf(byName[name])} data-title=${headOf(byName[name], town && state && name === town)}>${cells[name] ? cells[name](row) : cellOf(byName[name], row, name === town ? state : null)}</td>`)}
      </tr>`;
    })}</tbody></table></div>`;
}

const kindOf = (field) => (field.tipo === "numero" || field.tipo === "dia" || field.tipo === "momento" ? "number" : "words");
const HEADS = { orgao_entidade_razao_social: "Órgão", nome_orgao: "Órgão", nome_razao_social_fornecedor: "Fornecedor" };
const headOf = (field, isTown) => (isTown ? "Município" : (HEADS[field.nome] ?? shortLabel(field.rotulo)));

function cellOf(field, row, state) {
  if (state) return row[field.nome] ? `${row[field.nome]}/${row[state] ?? ""}` : (row[state] ?? "—");
  if (field.tipo === "momento") return textOf({ ...field, tipo: "dia" }, row[field.nome]);
  if (field.nome.startsWith("valor") && row[field.nome] === 0) return html`<span class="muted" title="O portal escreve 0 onde o valor é sigiloso ou não foi informado">sem valor</span>`;
  return textOf(field, row[field.nome]);
}

export const placeOfRow = (row) => placeOfNumber(row.numero_controle_pncp_ata ?? row.numero_controle_pncp ?? row.id_pca_pncp);
