// A list as a file: how many rows it has, what each format takes, and then the file, or a job that makes it.
import { useAnswer } from "./answers.js";
import { whatWentWrong } from "./actions.js";
import { download, newKey, request } from "./api.js";
import { filtersOf, totalText } from "./described.js";
import { bytes, integer, plural } from "./format.js";
import { refresh } from "./live.js";
import { html, useRef, useState } from "./preact.js";
import { hashOf } from "./router.js";
import { mayWrite } from "./session.js";
import { Button, Dialog, Icon, Skeleton, toast, Trouble } from "./ui.js";

const NAMES = {
  excel: ["CSV para Excel", "Ponto e vírgula e vírgula decimal, como o Excel em português abre."],
  xlsx: ["Excel (.xlsx)", "Com tipos, filtros e uma planilha que diz o que há no arquivo."],
  csv: ["CSV", "Vírgula e ponto decimal, para programas."],
  parquet: ["Parquet", "Para DuckDB, pandas, R e Power BI."],
  ndjson: ["NDJSON", "Um objeto JSON por linha."],
  pdf: ["PDF", "Uma tabela para ler e imprimir, com as colunas que cabem."],
};

function limitOf(format, rows) {
  if (format.registros && rows > format.registros) return { refused: `aceita até ${integer(format.registros)} linhas: filtre mais` };
  if (format.registros_por_planilha && rows > format.registros_por_planilha)
    return { note: `acima de ${integer(format.registros_por_planilha)} linhas são várias planilhas` };
  return format.registros ? { note: `até ${integer(format.registros)} linhas` } : {};
}

export function ExportDialog({ description, filters, order, words, close }) {
  const counted = new URLSearchParams(filters);
  counted.set("limite", "1");
  counted.set("contagem", "exata");
  counted.set("campos", description.colunas[0]);
  const { data, error, again } = useAnswer(`/${description.endereco}?${counted}`);
  const [chosen, choose] = useState("excel");
  const [seesAll, seeAll] = useState(false);
  const [busy, setBusy] = useState(false);
  const [trouble, tell] = useState("");
  const key = useRef(newKey());
  const byName = Object.fromEntries(description.formatos.map((one) => [one.nome, one]));
  const formatOf = (name) => byName[name === "excel" ? "csv" : name];
  const rows = data?.total ?? 0;
  const isJob = rows > formatOf(chosen).registros_na_hora;
  const refusal = limitOf(formatOf(chosen), rows).refused;
  const choices = Object.keys(NAMES).filter((name) => formatOf(name));
  const query = new URLSearchParams(filters);
  if (order) query.set("ordem", order);
  const feed = new URL(`/${description.endereco}.atom${filters.size ? `?${filters}` : ""}`, location.href).href;

  const act = async () => {
    if (seesAll) query.set("dados_pessoais", "true");
    if (!isJob) {
      if (chosen === "excel") query.set("excel", "1");
      const format = formatOf(chosen).nome;
      const made = await download(`/${description.endereco}.${format}${query.size ? `?${query}` : ""}`, `${description.endereco}.${format}`);
      toast(`${made.name}: ${made.rows === null ? "" : `${plural(made.rows, "linha", "linhas")}, `}${bytes(made.bytes)}.`);
      return;
    }
    const json = { entidade: description.endereco, formato: formatOf(chosen).nome, filtros: filtersOf(filters), excel: chosen === "excel", dados_pessoais: seesAll };
    if (order) json.ordem = order;
    await request("POST", "/exportacoes", { json, key: key.current });
    await refresh("/exportacoes");
    toast("O arquivo está sendo preparado.", "good", { href: hashOf("/exportacoes"), text: "Acompanhar" });
  };
  const submit = async (event) => {
    event.preventDefault();
    if (busy || !data) return;
    if (refusal || rows === 0) {
      tell(rows === 0 ? "Não há linhas para exportar." : `PDF ${refusal}.`);
      return;
    }
    setBusy(true);
    tell("");
    try {
      await act();
      close();
    } catch (failure) {
      tell(whatWentWrong(failure));
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Exportar ${words.many}" onClose=${close}><form onSubmit=${submit}>
    ${!data ? (error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${6} />`) : html`
      <p><strong>${totalText(data, "linha", "linhas")}</strong>, com ${filters.size ? "os filtros em uso" : "tudo o que há, sem filtro"} e todos os campos${seesAll ? "" : "; os CPFs vão mascarados"}.</p>
      <fieldset class="formats"><legend class="unseen">Formato</legend>${choices.map((name) => {
        const [label, what] = NAMES[name];
        const { refused, note } = limitOf(formatOf(name), rows);
        return html`<label class="choice" key=${name}><input type="radio" name="formato" value=${name} checked=${chosen === name} onChange=${() => choose(name)} />
          <span><span>${label}</span><span class="hint">${what}${note ? ` Limite: ${note}.` : ""}${refused ? html` <strong class="warn-text">Este formato ${refused}.</strong>` : ""}</span></span></label>`;
      })}</fieldset>
      ${mayWrite() && html`<label class="choice"><input type="checkbox" checked=${seesAll} onChange=${(event) => seeAll(event.target.checked)} /><span>CPFs por inteiro<span class="hint">Só administradores podem pedir.</span></span></label>`}
      ${isJob && !refusal && html`<p class="note">Acima de ${integer(formatOf(chosen).registros_na_hora)} linhas o arquivo é preparado em segundo plano; fica em Exportações quando estiver pronto.</p>`}`}
    <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
    <details class="more"><summary><${Icon} name="feed" /> Acompanhar esta busca (Atom)</summary>
      <p class="hint">Leitores de notícias mostram o que entra de novo nesta busca, do mais novo para o mais antigo. O endereço pede usuário e senha onde o servidor pede.</p>
      <code class="address">${feed}</code></details>
    <div class="dialog-actions"><${Button} onClick=${close}>Voltar<//>
      <${Button} type="submit" kind="primary" icon="download" busy=${busy}>${busy ? (isJob ? "Pedindo…" : "Preparando…") : isJob ? "Preparar arquivo" : "Baixar"}<//></div>
  </form><//>`;
}
