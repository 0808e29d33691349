// One record: what it is, what has happened to it, what belongs to it and where it is on the portal.
import { useAnswer } from "./answers.js";
import { ADDRESS_OF, hashOfList, placeOfAddress, shortLabel, textOf, useDescription } from "./described.js";
import { cnpj, money, plural, price, quantity, today, toWall, wallDay, wallTime } from "./format.js";
import { isMissing, Missing } from "./missing-list.js";
import { html, useEffect, useState } from "./preact.js";
import { columnsOf, RecordTable } from "./records.js";
import { hashOf, nameView } from "./router.js";
import { Badge, Card, Copy, Empty, Icon, Skeleton, Table, Trouble } from "./ui.js";

const KINDS = { contratacao: "Contratação", contrato: "Contrato", ata: "Ata de registro de preços", plano: "Plano de contratação anual" };
const OF_THEIR_OWN = ["itens", "resultados", "documentos", "historico"];
const NUMBERS = ["numero_contrato_empenho", "numero_ata_registro_preco", "numero_compra"];

export function Process({ parts }) {
  const [place, ...rest] = parts;
  const address = ADDRESS_OF[place];
  const path = `/${[address, ...rest].map(encodeURIComponent).join("/")}`;
  const { data, error, isLoading, again, replace } = useAnswer(path);
  const { data: description } = useDescription(address);
  useEffect(() => nameView(`${KINDS[place]} ${rest.slice(2).join("/")}/${rest[1]}`), [parts.join("/")]);
  if (error && !isLoading)
    return error.status === 404 || error.status === 422
      ? html`<header class="view-head"><h1>${KINDS[place]} fora do espelho</h1></header>
        <${Card}><${Empty} title="Nada neste endereço" icon="search"><p>${error.message}</p><a class="button" href=${hashOf(`/${address === "pcas" ? "pca" : address}`)}>Voltar à lista</a><//><//>`
      : html`<${Trouble} error=${error} again=${again} />`;
  if (!data || isLoading || !description) return html`<${Card}><${Skeleton} lines=${6} /><//><${Card}><${Skeleton} lines=${8} /><//>`;
  const missing = (name) => html`<${Missing} key=${`${path} ${name}`} name=${name} title=${titleOf(name).toLowerCase()} data=${data} path=${path} replace=${replace} />`;
  return html`<${Head} place=${place} data=${data} description=${description} />
    <div class="columns process"><div class="stack">
      <${Origins} data=${data} />
      <${Items} lists=${data.listas} missing=${missing} />
      ${data.referido_por.map((one) => html`<${Referring} key=${`${one.entidade} ${one.campo}`} section=${one} />`)}
      ${Object.entries(data.listas).filter(([name]) => !OF_THEIR_OWN.includes(name)).map(([name, section]) => html`<${Section} key=${name} name=${name} section=${section} missing=${missing} />`)}
      <${Documents} section=${data.listas.documentos} missing=${missing} />
      <${AllFields} record=${data.registro} description=${description} />
    </div><div class="stack">
      <${TimeLine} data=${data} description=${description} missing=${missing} />
      <${Completeness} data=${data} />
    </div></div>`;
}

const first = (record, names) => names.map((name) => record[name]).find((value) => value !== null && value !== undefined && value !== "");

function Head({ place, data, description }) {
  const { registro: one, partes } = data;
  const number = one[description.colunas[0]];
  const title = (first(one, [description.titulo]) ?? KINDS[place]).trim();
  const buyer = partes.find((party) => party.entidade === "orgaos");
  const supplier = partes.find((party) => party.entidade === "fornecedores");
  const status = one.situacao_compra_nome ?? (one.cancelado ? "Cancelada" : null);
  const called = first(one, NUMBERS);
  const facts = [
    ["Órgão", buyer ? html`<a href=${hashOf(placeOfAddress(buyer.endereco))}>${buyer.razao_social}</a><span class="small muted">${cnpj(buyer.cnpj)}</span>` : first(one, ["orgao_entidade_razao_social", "nome_orgao"])],
    ["Unidade", first(one, ["unidade_orgao_nome_unidade", "nome_unidade_orgao", "nome_unidade"])],
    ["Município", first(one, ["unidade_orgao_municipio_nome", "municipio_nome"]) && `${first(one, ["unidade_orgao_municipio_nome", "municipio_nome"])}/${first(one, ["unidade_orgao_uf_sigla", "uf_sigla"])}`],
    ["Fornecedor", one.nome_razao_social_fornecedor && html`${supplier ? html`<a href=${hashOf(placeOfAddress(supplier.endereco))}>${one.nome_razao_social_fornecedor}</a>` : one.nome_razao_social_fornecedor}<span class="small muted">${cnpj(one.ni_fornecedor)}</span>`],
    ["Vigência", first(one, ["data_vigencia_inicio", "vigencia_inicio"]) && `${wallDay(first(one, ["data_vigencia_inicio", "vigencia_inicio"]))} a ${wallDay(first(one, ["data_vigencia_fim", "vigencia_fim"]))}`],
    ["Processo", one.processo],
    ["Amparo legal", one.amparo_legal_nome],
    ["Modo de disputa", one.modo_disputa_nome],
    ["Categoria", one.categoria_processo_nome],
    ["Publicada por", first(one, ["usuario_nome", "usuario"])],
  ].filter(([, value]) => value);
  const amounts = [
    ["Valor estimado", one.valor_total_estimado, place === "contratacao"],
    ["Valor homologado", one.valor_total_homologado, place === "contratacao"],
    ["Valor global", one.valor_global, place === "contrato"],
    ["Valor inicial", one.valor_inicial, place === "contrato" && one.valor_inicial !== one.valor_global],
    ["Valor acumulado", one.valor_acumulado, place === "contrato" && one.valor_acumulado && one.valor_acumulado !== one.valor_global],
  ].filter(([, , isShown]) => isShown);
  return html`<section class="card process-head" aria-labelledby="process-title">
    <p class="kicker">${KINDS[place]}${called ? ` ${called}` : ""}${one.modalidade_nome ? ` · ${one.modalidade_nome}` : ""}${one.tipo_contrato_nome ? ` · ${one.tipo_contrato_nome}` : ""}
      ${status && html` <${Badge} tone=${/revog|anul|cancel|suspen/i.test(status) ? "warn" : "busy"}>${status}<//>`}
      ${one.srp && html` <${Badge} tone="quiet" title="Sistema de registro de preços">SRP<//>`}${one.receita && html` <${Badge} tone="quiet">receita<//>`}</p>
    <${LongTitle} text=${title} />
    <div class="process-row"><${Copy} text=${number} label="Copiar o número de controle" />
      <div class="head-actions">${data.fonte && html`<a class="button primary" href=${data.fonte} target="_blank" rel="noreferrer"><${Icon} name="outside" /><span>Ver no PNCP</span></a>`}
      ${/^https?:\/\//.test(one.link_sistema_origem ?? "") && html`<a class="button" href=${one.link_sistema_origem} target="_blank" rel="noreferrer"><${Icon} name="outside" /><span>Sistema de origem</span></a>`}</div></div>
    ${amounts.length > 0 && html`<dl class="amounts">${amounts.map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value ? money(value) : html`<span class="muted" title="O portal escreve 0 onde o valor é sigiloso ou não foi informado">não informado</span>`}</dd></div>`)}</dl>`}
    <dl class="facts wide">${facts.map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
    ${one.informacao_complementar && html`<details class="more"><summary>Informação complementar</summary><p class="pre">${one.informacao_complementar}</p></details>`}
  </section>`;
}

const LONG = 220;

function LongTitle({ text }) {
  const [whole, show] = useState(false);
  const isLong = text.length > LONG + 40;
  return html`<h1 id="process-title" class="object-title">${isLong && !whole ? `${text.slice(0, LONG).trimEnd()}…` : text}
    ${isLong && html` <button type="button" class="link" aria-expanded=${whole ? "true" : "false"} onClick=${() => show(!whole)}>${whole ? "mostrar menos" : "mostrar tudo"}</button>`}</h1>`;
}

// --- the time line -------------------------------------------------------------------------------------------------

// What says nothing of the process itself: when the portal and we wrote it down.
const NO_EVENTS = ["data_inclusao", "data_atualizacao", "data_atualizacao_global", "data_atualizacao_global_pca", "visto_em", "alterado_em"];

// What the portal says was done, at one minute to many of a kind as one.
function* loggedEvents(section) {
  const kind = (one) => [one.log_manutencao_data_inclusao.slice(0, 16), one.tipo_log_manutencao_nome, one.categoria_log_manutencao_nome].join("|");
  for (const events of Object.values(Object.groupBy(section?.registros ?? [], kind))) {
    const [one] = events;
    const said = events.map((each) => each.documento_titulo ?? (each.item_numero ? `item ${each.item_numero}` : each.numero_termo_contrato)).filter(Boolean);
    yield {
      at: one.log_manutencao_data_inclusao,
      text: `${one.tipo_log_manutencao_nome ?? "Registro"}: ${one.categoria_log_manutencao_nome ?? "outro"}${events.length > 1 ? ` (${events.length})` : ""}`,
      more: [fewOf(said), ...new Set(events.map((each) => each.justificativa).filter(Boolean))].filter(Boolean).join(" · "),
    };
  }
}

const MOST_NAMED = 5;
const fewOf = (names) => [...names.slice(0, MOST_NAMED), ...(names.length > MOST_NAMED ? [`e mais ${names.length - MOST_NAMED}`] : [])].join(", ");

// What a key of the portal is called: by the field that is read from it, or the first of those from within it.
function labelOf(key, fields) {
  const name = key.replace(/[A-Z]+/g, (capitals) => `_${capitals}`).toLowerCase();
  const field = fields.find((one) => one.nome === name) ?? fields.find((one) => one.nome === `${name}_nome`) ?? fields.find((one) => one.nome.startsWith(`${name}_`));
  return field ? shortLabel(field.rotulo) : key;
}

const STAMPS = ["dataAtualizacao", "dataAtualizacaoGlobal"];

function changeEvent({ quando, tipo, campos }, fields) {
  const names = [...new Set(Object.keys(campos ?? {}).filter((key) => !STAMPS.includes(key)).map((key) => labelOf(key, fields)))];
  const more = tipo === "ausente" ? "saiu do espelho" : fewOf(names) || "só a data: mudou algo ligado ao registro";
  return { at: toWall(quando), text: "Mudança vista pelo espelho", more, isOurs: true };
}

function eventsOf(data, description, changes) {
  const record = data.registro;
  const events = description.campos
    .filter((field) => ["dia", "momento"].includes(field.tipo) && record[field.nome] && !NO_EVENTS.includes(field.nome))
    .map((field) => ({ at: record[field.nome], text: field.rotulo }));
  for (const one of data.refere) {
    const other = one.registro;
    if (other?.data_publicacao_pncp) events.push({ at: other.data_publicacao_pncp, text: one.entidade === "contratacoes" ? "Publicação da contratação" : "Publicação da ata", place: placeOfAddress(one.endereco) });
  }
  for (const section of data.referido_por)
    for (const one of section.registros) {
      const [at, text, more] = {
        contratos: [one.data_assinatura ?? one.data_publicacao_pncp, `${one.tipo_contrato_nome === "Empenho" ? "Empenho" : "Contrato"} ${one.numero_contrato_empenho ?? ""} assinado`, [one.nome_razao_social_fornecedor, money(one.valor_global)]],
        atas: [one.data_assinatura ?? one.data_publicacao_pncp, `Ata ${one.numero_ata_registro_preco ?? ""} assinada`, [one.vigencia_fim && `até ${wallDay(one.vigencia_fim)}`]],
        instrumentos_cobranca: [one.data_emissao_documento ?? one.data_inclusao, `${one.tipo_instrumento_cobranca_nome ?? "Instrumento de cobrança"} ${one.numero_instrumento_cobranca ?? ""}`, [one.nota_fiscal_nome_emitente]],
      }[section.entidade] ?? [];
      if (at) events.push({ at, text, more: more.filter(Boolean).join(" · "), place: placeOfAddress(one.endereco) });
    }
  for (const [day, results] of Object.entries(Object.groupBy((data.listas.resultados?.registros ?? []).filter((one) => one.data_resultado), (one) => one.data_resultado)))
    events.push({ at: day, text: `Resultado de ${plural(new Set(results.map((one) => one.numero_item)).size, "item", "itens")}`, more: money(results.reduce((sum, one) => sum + (one.valor_total_homologado ?? 0), 0)) });
  for (const one of data.listas.termos_contrato?.registros ?? [])
    events.push({ at: one.data_assinatura ?? one.data_publicacao_pncp, text: `${one.tipo_termo_contrato_nome ?? "Termo"} ${one.numero_termo_contrato ?? ""}`, more: one.valor_acrescido ? `acréscimo de ${money(one.valor_acrescido)}` : "" });
  events.push(...loggedEvents(data.listas.historico), ...changes.map((one) => changeEvent(one, description.campos)));
  if (record.visto_em) events.push({ at: record.visto_em, text: "Entrou no espelho", isOurs: true });
  if (!changes.length && record.alterado_em && record.alterado_em.slice(0, 16) !== record.visto_em?.slice(0, 16)) events.push({ at: record.alterado_em, text: "Última mudança vista", isOurs: true });
  // what has only a day comes after what has an hour of it
  const place = (one) => (one.at.length === 10 ? `${one.at}T~` : one.at);
  return events.filter((one) => one.at).sort((a, b) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0));
}

function TimeLine({ data, description, missing }) {
  const about = new URLSearchParams({ entidade: data.entidade, chave: data.registro[description.colunas[0]], limite: 500 });
  const { data: feed } = useAnswer(`/mudancas?${about}`);
  const events = eventsOf(data, description, feed?.registros ?? []);
  const logged = data.listas.historico;
  const now = today();
  return html`<${Card} title="Linha do tempo" id="time-line"><ol class="time-line">${events.map((one, n) => {
    const isAhead = one.at.slice(0, 10) > now;
    return html`<li key=${n} class=${isAhead ? "ahead" : one.isOurs ? "ours" : ""}><time datetime=${one.at}>${wallTime(one.at)}</time>
      <span>${one.place ? html`<a href=${hashOf(one.place)}>${one.text}</a>` : one.text}${isAhead && html` <span class="muted">(previsto)</span>`}</span>
      ${one.more && html`<span class="small muted">${one.more}</span>`}</li>`;
  })}</ol>
    ${logged && logged.total > logged.registros.length && html`<p class="note">Os primeiros ${logged.registros.length} de ${countOf(logged)} eventos do portal.</p>`}
    ${isMissing(logged) && html`<h3 class="small">Histórico do portal</h3>`}${missing("historico")}<//>`;
}

// --- what belongs to it --------------------------------------------------------------------------------------------

const WORDS = { itens: "Itens", documentos: "Documentos", resultados: "Resultados", historico: "Histórico do portal", termos_contrato: "Termos aditivos e apostilamentos", contratos: "Contratos e empenhos", atas: "Atas de registro de preços", instrumentos_cobranca: "Instrumentos de cobrança", itens_pca: "Itens do plano", pcas: "Planos" };

const titleOf = (name) => WORDS[name.replaceAll("-", "_")] ?? name;
const countOf = (section) => (isMissing(section) && !section.total ? "—" : section.total === null ? "" : section.total_tipo === "minimo" ? `mais de ${section.total}` : String(section.total));

function WholeList({ section }) {
  const hash = section.registros.length < (section.total ?? 0) ? hashOfList(section.endereco) : null;
  return hash && html`<p class="load-more"><a class="button small" href=${hash}>Ver todos (${countOf(section)})</a></p>`;
}

function Items({ lists, missing }) {
  const section = lists.itens;
  if (!section) return null;
  const results = Object.groupBy(lists.resultados?.registros ?? [], (one) => one.numero_item);
  const columns = [
    { title: "Item", kind: "number item-number", cell: (one) => one.numero_item },
    { title: "Descrição", kind: "object", cell: (one) => html`<span class="clamp" title=${one.descricao}>${one.descricao}</span><span class="muted keys">${[one.material_ou_servico_nome, one.tipo_beneficio_nome !== "Não se aplica" && one.tipo_beneficio_nome].filter(Boolean).join(" · ")}</span>` },
    { title: "Quantidade", kind: "number", cell: (one) => html`${quantity(one.quantidade)}<span class="small muted">${one.unidade_medida}</span>` },
    { title: "Unitário estimado", kind: "number", cell: (one) => (one.orcamento_sigiloso ? "sigiloso" : price(one.valor_unitario_estimado)) },
    { title: "Total estimado", kind: "number", cell: (one) => (one.orcamento_sigiloso ? "sigiloso" : money(one.valor_total)) },
    { title: "Resultado", kind: "result", cell: (one) => html`<${Results} item=${one} results=${results[one.numero_item] ?? []} />` },
  ];
  return html`<${Card} title="Itens" id="itens" aside=${html`<span class="count">${countOf(section)}</span>`}>
    ${section.registros.length ? html`<${Table} columns=${columns} rows=${section.registros} keyOf=${(one) => one.numero_item} caption="Lista de itens" />` : isMissing(section) ? missing("itens") : html`<p class="calm">Sem itens.</p>`}
    <${WholeList} section=${section} />
    ${section.registros.some((one) => one.tem_resultado) && isMissing(lists.resultados) && html`<h3 class="small">Resultados</h3>${missing("resultados")}`}<//>`;
}

function Results({ item, results }) {
  const status = item.situacao_compra_item_nome;
  if (!results.length) return html`<span class="muted">${item.tem_resultado ? "com resultado" : status}</span>`;
  return results.map((one) => html`<span class="won" key=${one.sequencial_resultado}><strong>${price(one.valor_unitario_homologado)}</strong>
    <span class="small muted">${one.nome_razao_social_fornecedor} ${cnpj(one.ni_fornecedor)}</span></span>`);
}

function Referring({ section }) {
  const { data: description } = useDescription(section.entidade.replaceAll("_", "-"));
  if (!section.registros.length) return null;
  return html`<${Card} title=${titleOf(section.entidade)} id=${`${section.entidade}-${section.campo}`} aside=${html`<span class="count">${countOf(section)}</span>`}>
    ${description ? html`<${RecordTable} description=${description} columns=${columnsOf(description, ["orgao_entidade_razao_social", "nome_orgao", "unidade_orgao_municipio_nome", "municipio_nome", "unidade_orgao_uf_sigla", "uf_sigla"])} rows=${section.registros} caption=${`Lista: ${titleOf(section.entidade)}`} linkOf=${(row) => placeOfAddress(row.endereco)} />` : html`<${Skeleton} lines=${4} />`}
    <${WholeList} section=${section} /><//>`;
}

function Section({ name, section, missing }) {
  const { data: description } = useDescription(name.replaceAll("_", "-"));
  const known = new Set(section.registros.flatMap(Object.keys));
  return html`<${Card} title=${titleOf(name)} id=${`lista-${name}`} aside=${html`<span class="count">${countOf(section)}</span>`}>
    ${!section.registros.length ? !isMissing(section) && html`<p class="calm">Nenhum.</p>`
      : description ? html`<${RecordTable} description=${description} columns=${columnsOf(description, description.colunas.filter((one) => !known.has(one) || one.startsWith("orgao_entidade") || one.startsWith("unidade_orgao")))} rows=${section.registros} caption=${`Lista: ${titleOf(name)}`} linkOf=${() => null} />` : html`<${Skeleton} lines=${4} />`}
    <${WholeList} section=${section} />${missing(name)}<//>`;
}

function Documents({ section, missing }) {
  if (!section) return null;
  return html`<${Card} title="Documentos" id="documentos" aside=${html`<span class="count">${countOf(section)}</span>`}>
    ${section.registros.length ? html`<ul class="rows">${section.registros.map((one) => html`<li key=${one.sequencial_documento}><div>${/^https?:\/\//.test(one.url ?? "") ? html`<a href=${one.url} target="_blank" rel="noreferrer">${one.titulo || "Documento"}<span class="unseen"> (abre o portal)</span></a>` : one.titulo}
        <p class="muted">${one.tipo_documento_nome ?? ""}</p></div><span class="row-end muted">${wallDay(one.data_publicacao_pncp)}</span></li>`)}</ul>`
      : !isMissing(section) && html`<p class="calm">Nenhum documento.</p>`}${missing("documentos")}<//>`;
}

function Origins({ data }) {
  if (!data.refere.length) return null;
  return html`<${Card} title="Resulta de" id="resulta-de"><ul class="rows">${data.refere.map((one) => {
    const place = placeOfAddress(one.endereco);
    const record = one.registro;
    return html`<li key=${one.chave}><div>${record && place ? html`<a href=${hashOf(place)}>${record.objeto_compra?.trim() || record.objeto_contratacao?.trim() || one.chave}</a>` : html`${one.chave}`}
      <p class="muted mono small">${one.chave}</p>${!record && html`<p class="muted">O espelho não a tem.${one.fonte && html` <a href=${one.fonte} target="_blank" rel="noreferrer">Ver no PNCP</a>`}</p>`}</div></li>`;
  })}</ul><//>`;
}

function Completeness({ data: { espelho: mirror } }) {
  const faults = [
    mirror.registros_recusados > 0 && plural(mirror.registros_recusados, "versão mais nova não pôde ser gravada", "versões mais novas não puderam ser gravadas"),
    mirror.listas_faltando.length > 0 && `ainda não vieram do portal: ${mirror.listas_faltando.map(titleOf).join(", ")}`,
    mirror.listas_fora_do_escopo.length > 0 && `não são lidas do portal para este registro: ${mirror.listas_fora_do_escopo.map((name) => titleOf(name).toLowerCase()).join(", ")}`,
  ].filter(Boolean);
  return html`<${Card} title="No espelho" id="no-espelho"><p class="mirror ${faults.length ? "warn" : "good"}"><span class="dot ${faults.length ? "warn" : "good"}"></span>
    <span>${faults.length ? `Falta algo: ${faults.join("; ")}.` : "Nada falta deste registro nem das suas listas."}${mirror.ate ? ` Mudanças lidas até ${wallTime(mirror.ate)}.` : ""}</span></p><//>`;
}

export function AllFields({ record, description }) {
  const [isOpen, open] = useState(false);
  const fields = description.campos.filter((one) => one.tipo !== "json" && record[one.nome] !== null && record[one.nome] !== undefined && record[one.nome] !== "");
  return html`<section class="card"><details class="all-fields" onToggle=${(event) => open(event.target.open)}><summary>Todos os campos (${fields.length})</summary>
    ${isOpen && html`<dl class="pairs">${fields.map((one) => html`<div key=${one.nome}><dt>${one.rotulo}</dt><dd>${textOf(one, record[one.nome])}</dd></div>`)}</dl>`}</details></section>`;
}
