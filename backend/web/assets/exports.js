// The exports that a user has asked for: how they go, the files, and how to end them.
import { confirm, whatWentWrong } from "./actions.js";
import { download, request } from "./api.js";
import { nameOfCode, placeOfList, shortLabel, useDescription } from "./described.js";
import { bytes, integer, plural, roughly } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useState } from "./preact.js";
import { session } from "./session.js";
import { Badge, Button, Card, Empty, Progress, Skeleton, toast, Trouble, When } from "./ui.js";

const STATES = {
  na_fila: ["quiet", "na fila"],
  lendo: ["busy", "lendo"],
  convertendo: ["busy", "convertendo"],
  pronta: ["good", "pronta"],
  erro: ["bad", "erro"],
  expirada: ["quiet", "expirada"],
};
const UNDER_WAY = ["na_fila", "lendo", "convertendo"];

export function Exports() {
  const { data, error } = useLive("/exportacoes", (known) => (known?.exportacoes.some((one) => UNDER_WAY.includes(one.estado)) ? 1500 : 30000));
  return html`<header class="view-head"><h1>Exportações</h1><p class="muted">Arquivos pedidos nas listas, preparados em segundo plano. Cada um fica à disposição por um tempo e depois é apagado.</p></header>
    ${!data ? (error ? html`<${Trouble} error=${error} again=${() => refresh("/exportacoes")} />` : html`<${Card}><${Skeleton} lines=${5} /><//>`)
      : data.exportacoes.length ? html`<ul class="stack">${data.exportacoes.map((one) => html`<${Export} key=${one.id} job=${one} />`)}</ul>`
        : html`<${Card}><${Empty} title="Nenhuma exportação" icon="download"><p>Abra uma lista, filtre e escolha Exportar. Até 100.000 linhas o arquivo vem na hora; acima disso aparece aqui.</p>
          <a class="button" href="#/contratacoes">Ver contratações</a><//><//>`}`;
}

function Export({ job }) {
  const [tone, state] = STATES[job.estado];
  const { data: description } = useDescription(job.entidade);
  const isUnderWay = UNDER_WAY.includes(job.estado);
  const { user } = session.get();
  return html`<li class="card job"><header class="card-head"><h2>${description?.rotulo ?? placeOfList(job.entidade)} · ${job.excel ? "CSV para Excel" : job.formato.toUpperCase()}</h2><${Badge} tone=${tone}>${state}<//></header>
    <p class="muted">${saidOf(job, description)}</p>
    ${isUnderWay && html`<div class="job-progress"><${Progress} value=${job.percentual} label=${`Exportação ${job.id}`} /><span>${Math.floor(job.percentual)}%</span></div>`}
    <p>${plural(job.registros, "linha", "linhas")}${job.registros_tipo === "estimado" ? " (estimativa)" : ""}${isUnderWay && job.registros_feitos ? `, ${integer(job.registros_feitos)} feitas` : ""}${job.bytes ? ` · ${bytes(job.bytes)}` : ""}${
      isUnderWay && job.segundos_restantes !== null ? ` · faltam ${roughly(job.segundos_restantes)}` : ""}</p>
    ${job.avisos.map((one) => html`<p class="note warn" key=${one}>${one}</p>`)}
    ${job.erro && html`<p class="note bad">${job.erro}</p>`}
    <div class="job-foot"><span class="muted">Pedida <${When} moment=${job.criada_em} />${job.solicitante && job.solicitante !== user.username ? ` por ${job.solicitante}` : ""}${job.estado === "pronta" && job.expira_em ? html`; fica até <${When} moment=${job.expira_em} />` : ""}${job.dados_pessoais ? "; CPFs por inteiro" : ""}</span>
      <span class="job-actions">${job.estado === "pronta" && html`<${Save} path=${`/exportacoes/${job.id}/arquivo`} name=${job.arquivo} kind="small primary" />`}
        <${Button} kind="small" icon=${isUnderWay ? "stop" : "close"} onClick=${() => askEnd(job, isUnderWay)}>${isUnderWay ? "Cancelar" : "Apagar"}<span class="unseen"> a exportação ${job.id}</span><//></span></div></li>`;
}

export function saidOf(job, description) {
  const filters = Object.entries(job.filtros).map(([name, values]) => {
    const filter = description?.filtros.find((one) => one.nome === name);
    return `${filter ? (filter.forma === "palavras" ? "Palavras" : shortLabel(filter.rotulo)) : name}: ${values.map((one) => (filter?.dominio ? nameOfCode(filter.dominio, one) : one)).join(", ")}`;
  });
  return filters.length ? filters.join(" · ") : "Sem filtros";
}

const askEnd = (job, isUnderWay) =>
  confirm({
    title: isUnderWay ? "Cancelar esta exportação?" : "Apagar esta exportação?",
    text: html`<p>${isUnderWay ? "O que já foi lido se perde; peça de novo quando quiser." : "O arquivo deixa de existir no servidor."}</p>`,
    action: isUnderWay ? "Cancelar exportação" : "Apagar",
    kind: "danger",
    act: async () => {
      await request("DELETE", `/exportacoes/${job.id}`);
      await refresh("/exportacoes");
      toast(isUnderWay ? "Exportação cancelada." : "Exportação apagada.");
    },
  });

// A button that saves a file of the server.
export function Save({ path, name, kind = "small", label = "Baixar" }) {
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      await download(path, name);
    } catch (error) {
      toast(whatWentWrong(error), "bad");
    } finally {
      setBusy(false);
    }
  };
  return html`<${Button} kind=${kind} icon="download" busy=${busy} onClick=${save}>${busy ? "Baixando…" : label}<span class="unseen"> ${name}</span><//>`;
}
