// Saved searches: a list with its filters, of which a message says once a day what is new.
import { confirm, showDialog, whatWentWrong } from "./actions.js";
import { useAnswer } from "./answers.js";
import { request } from "./api.js";
import { faultsOf, filtersOf, hashOfList, placeOfList, useDescription } from "./described.js";
import { saidOf } from "./exports.js";
import { plural } from "./format.js";
import { refresh, useLive } from "./live.js";
import { html, useState } from "./preact.js";
import { hashOf } from "./router.js";
import { Badge, Button, Card, Dialog, Empty, Skeleton, toast, Trouble, When } from "./ui.js";

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

export function SavedSearches() {
  const { data, error } = useLive("/buscas", 30000);
  return html`<header class="view-head"><h1>Buscas salvas</h1><p class="muted">No máximo uma mensagem por dia diz que registros são novos em cada busca; cada registro, uma vez só.</p></header>
    ${!data ? (error ? html`<${Trouble} error=${error} again=${() => refresh("/buscas")} />` : html`<${Card}><${Skeleton} lines=${5} /><//>`)
      : data.buscas.length ? html`<ul class="stack">${data.buscas.map((one) => html`<${Search} key=${one.id} search=${one} />`)}</ul>`
        : html`<${Card}><${Empty} title="Nenhuma busca salva" icon="search"><p>Abra uma lista, filtre e escolha Salvar busca.</p><a class="button" href="#/contratacoes">Ver contratações</a><//><//>`}`;
}

function Search({ search }) {
  const { data: description } = useDescription(search.entidade);
  const channels = [search.email, search.webhook && "webhook configurado"].filter(Boolean);
  const failed = search.canais.find((one) => one.erro);
  const preview = () => showDialog(({ close }) => html`<${Preview} search=${search} close=${close} />`);
  return html`<li class="card job"><header class="card-head"><h2>${search.nome}</h2>${search.cancelada_em ? html`<${Badge} tone="quiet">cancelada<//>` : channels.length ? html`<${Badge} tone="good">avisa às ${search.hora} h<//>` : html`<${Badge} tone="quiet">sem aviso<//>`}</header>
    <p class="muted">${description?.rotulo ?? placeOfList(search.entidade)} · ${saidOf(search, description)}</p>
    ${channels.length > 0 && html`<p>Avisa por ${channels.join(" e ")}${search.procurada_em ? html`; procurada <${When} moment=${search.procurada_em} />` : ""}.</p>`}
    ${search.cancelada_em && html`<p class="note">Um destinatário cancelou as mensagens <${When} moment=${search.cancelada_em} />. Salve outra busca para voltar a receber.</p>`}
    ${(search.erro || failed) && html`<p class="note bad">${search.erro ?? `A última mensagem não saiu (${failed.canal}): ${failed.erro}. Nada se perde: ela é repetida.`}</p>`}
    <div class="job-foot"><span class="muted">Salva <${When} moment=${search.criada_em} />${search.solicitante ? ` por ${search.solicitante}` : ""}</span>
      <span class="job-actions">${hashOfList(search.lista) && html`<a class="button small" href=${hashOfList(search.lista)}>Ver a lista<span class="unseen"> de ${search.nome}</span></a>`}
        ${!search.cancelada_em && html`<${Button} kind="small" onClick=${preview}>O que há de novo<span class="unseen"> em ${search.nome}</span><//>`}
        <${Button} kind="small" icon="close" onClick=${() => askDelete(search)}>Apagar<span class="unseen"> ${search.nome}</span><//></span></div></li>`;
}

function Preview({ search, close }) {
  const { data, error, again } = useAnswer(`/buscas/${search.id}/previa`);
  return html`<${Dialog} title="O que a próxima mensagem diria" onClose=${close} wide>
    ${!data ? (error ? html`<${Trouble} error=${error} again=${again} />` : html`<${Skeleton} lines=${6} />`) : html`
      <p><strong>${data.total ? plural(data.total, "registro novo", "registros novos") : "Nada de novo: hoje não sairia mensagem."}</strong></p>
      ${faultsOf(data.espelho).length > 0 && html`<p class="note warn">O espelho não está completo: ${faultsOf(data.espelho).join("; ")}.</p>`}
      ${data.total > 0 && html`<pre class="message">${data.texto}</pre>`}`}
    <div class="dialog-actions"><${Button} onClick=${close}>Fechar<//></div><//>`;
}

const askDelete = (search) =>
  confirm({
    title: "Apagar esta busca?",
    text: html`<p>${search.nome}: não sai mais mensagem nenhuma.</p>`,
    action: "Apagar",
    kind: "danger",
    act: async () => {
      await request("DELETE", `/buscas/${search.id}`);
      await refresh("/buscas");
      toast("Busca apagada.");
    },
  });

// The form that saves what a list shows.
export function SaveDialog({ description, filters, close }) {
  const [busy, setBusy] = useState(false);
  const [trouble, tell] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    const given = new FormData(event.currentTarget);
    const json = { nome: given.get("nome"), entidade: description.endereco, filtros: filtersOf(filters), email: given.get("email") || null, webhook: given.has("webhook"), hora: Number(given.get("hora")) };
    setBusy(true);
    tell("");
    try {
      await request("POST", "/buscas", { json });
      await refresh("/buscas");
      toast("Busca salva.", "good", { href: hashOf("/buscas"), text: "Ver buscas salvas" });
      close();
    } catch (failure) {
      tell(whatWentWrong(failure));
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Salvar esta busca" onClose=${close}><form class="save-form" onSubmit=${submit}>
    <p class="muted">${description.rotulo} · ${saidOf({ filtros: filtersOf(filters) }, description)}</p>
    <label>Nome<input name="nome" required maxlength="100" /></label>
    <label>Avisar por e-mail<input name="email" type="email" maxlength="254" placeholder="opcional" /></label>
    <label class="choice"><input type="checkbox" name="webhook" /><span>Também ao webhook<span class="hint">O que está configurado para os alertas; nenhum outro.</span></span></label>
    <label>A partir de que hora<select name="hora">${HOURS.map((hour) => html`<option key=${hour} value=${hour} selected=${hour === 7}>${hour} h</option>`)}</select></label>
    <p class="hint">O que a lista já mostra não é novo. Cada mensagem tem um endereço que a cancela com um clique.</p>
    <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
    <div class="dialog-actions"><${Button} onClick=${close}>Voltar<//><${Button} type="submit" kind="primary" busy=${busy}>Salvar<//></div></form><//>`;
}
