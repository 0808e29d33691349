// What starts, stops and changes something: the requests, and the question before each that cannot be taken back.
import { newKey, request } from "./api.js";
import { Field, focusFault } from "./forms.js";
import { hashOf } from "./router.js";
import { refresh } from "./live.js";
import { html, useRef, useState } from "./preact.js";
import { store } from "./store.js";
import { Button, Dialog, toast } from "./ui.js";

const open = store(null);

// Show a dialog; `draw` is given the function that closes it.
export const showDialog = (draw) => open.set({ draw });
export const closeDialog = () => open.set(null);

export function DialogHost() {
  const shown = open.use();
  return shown && html`<${shown.draw} close=${closeDialog} />`;
}

// Ask before doing; `act` does it, and the dialog stays open with what went wrong, if it does.
// `act` is given what was written in `field`, or the names of those of `choices` that were left marked.
export function confirm({ title, text, action, kind = "primary", act, field, choices }) {
  showDialog(function Confirm({ close }) {
    const [busy, setBusy] = useState(false);
    const [trouble, tell] = useState("");
    const [fault, setFault] = useState("");
    const [value, setValue] = useState(field?.value ?? choices?.map((one) => one.name) ?? "");
    const form = useRef();
    const refuse = (said) => {
      setFault(said);
      focusFault(form.current, ["value"]);
    };
    const submit = async (event) => {
      event.preventDefault();
      if (busy) return;
      if (field && (field.required ?? true) && !value.trim()) {
        refuse("Preencha este campo.");
        return;
      }
      setFault("");
      if (choices && !value.length) {
        tell("Escolha ao menos um.");
        return;
      }
      setBusy(true);
      tell("");
      try {
        await act(value);
        close();
      } catch (error) {
        if (field && error.status === 422) refuse(whatWentWrong(error));
        else tell(whatWentWrong(error));
        setBusy(false);
      }
    };
    return html`<${Dialog} title=${title} onClose=${close}>
      <form onSubmit=${submit} noValidate ref=${form}>
        <div class="dialog-text">${text}</div>
        ${
          field &&
          html`<${Field} name="value" label=${field.label} value=${value} change=${setValue} fault=${fault} hint=${field.hint} required=${field.required ?? true}
            maxlength=${field.maxlength ?? 500} placeholder=${field.placeholder} autocomplete="off" spellcheck=${false} class=${field.kind ?? ""} />`
        }
        ${choices && html`<${Choices} all=${choices} chosen=${value} choose=${setValue} />`}
        <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
        <div class="dialog-actions"><${Button} onClick=${close}>Voltar<//>
          <${Button} type="submit" kind=${kind} busy=${busy}>${action}<//></div>
      </form>
    <//>`;
  });
}

const Choices = ({ all, chosen, choose }) =>
  html`<fieldset><legend class="unseen">O quê</legend>${all.map(
    ({ name, label }) => html`<label class="choice" key=${name}><input type="checkbox" checked=${chosen.includes(name)}
      onChange=${({ target }) => choose(all.map((one) => one.name).filter((one) => (one === name ? target.checked : chosen.includes(one))))} />
      <span>${label}</span></label>`,
  )}</fieldset>`;

// Does what has an effect and needs no dialog, says what went wrong, and asks anew for what it may have changed.
export async function attempt(act, afterwards) {
  try {
    await act();
  } catch (error) {
    toast(whatWentWrong(error), "bad");
  }
  await afterwards();
}

export function whatWentWrong(error) {
  if (error.status === 429 && error.retryAfter) return `${error.message} (daqui a ${error.retryAfter} s)`;
  if (error.isUnreachable)
    return "O servidor não respondeu. Veja o histórico antes de repetir: o pedido pode ter chegado.";
  return error.message;
}

const linkTo = (id) => ({ href: hashOf(`/execucoes/${id}`), text: "Acompanhar" });
const afterChange = () => refresh("/sync/dashboard", "/sync/history", "/sync/executions", "/sync/coverage", "/sync/timeline");

// Start updates or a backfill: [{body, key}]; one key for all tries of the same request. Says what has begun, also
// where one of them is refused.
export async function start(...requests) {
  const ids = [];
  try {
    for (const { body, key } of requests) {
      const answer = await request("POST", "/sync/force", { json: body, key });
      ids.push(answer.request_id);
    }
  } finally {
    if (ids.length === 1) toast(`Execução ${ids[0]} iniciada.`, "good", linkTo(ids[0]));
    if (ids.length > 1) toast(`Execuções ${ands.format(ids)} iniciadas.`, "good", { href: hashOf("/historico"), text: "Ver" });
    if (ids.length) await afterChange();
  }
}

const ands = new Intl.ListFormat("pt-BR");

const updatesOf = (resources) => resources.map(({ name }) => ({ body: { resource: name, mode: "update" }, key: newKey() }));

// Update these resources ({name, label}) at once: it is harmless, and can be cancelled.
export async function update(resources) {
  try {
    await start(...updatesOf(resources));
  } catch (error) {
    toast(whatWentWrong(error), "bad");
  }
}

// The same, of those that the reader chooses.
export function askUpdate(resources) {
  const requests = updatesOf(resources);
  confirm({
    title: "Atualizar vários",
    text: html`<p>Busca no portal o que mudou desde a última atualização de cada um.</p>`,
    action: "Atualizar agora",
    choices: resources,
    act: (chosen) => start(...requests.filter(({ body }) => chosen.includes(body.resource))),
  });
}

export function askCancel(execution) {
  confirm({
    title: `Cancelar a execução ${execution.id}?`,
    text: html`<p>Ela para na próxima página. O que já foi gravado fica; o que falta não será lido, e a execução fica como cancelada; pode ser continuada depois.</p>`,
    action: "Cancelar execução",
    kind: "danger",
    act: async () => {
      await request("POST", `/sync/executions/${execution.id}/cancel`);
      toast(`Execução ${execution.id} cancelada.`);
      await afterChange();
    },
  });
}

export function askRetry(execution) {
  const key = newKey();
  const failed = execution.progress?.slices_failed;
  const goesOn = execution.cancelled;
  confirm({
    title: goesOn ? `Continuar a execução ${execution.id}?` : `Repetir o que falhou na execução ${execution.id}?`,
    text: goesOn
      ? html`<p>Inicia uma execução nova com as fatias que ficaram por ler, e só elas.</p>`
      : html`<p>Inicia uma execução nova com ${failed ? `as ${failed} fatias` : "as fatias"} que terminaram com erro, e só elas.</p>`,
    action: goesOn ? "Continuar" : "Repetir o que falhou",
    act: async () => {
      const answer = await request("POST", `/sync/executions/${execution.id}/retry`, { key });
      toast(`Execução ${answer.request_id} iniciada com ${goesOn ? "o que faltou" : "o que falhou"}.`, "good", linkTo(answer.request_id));
      await afterChange();
    },
  });
}

export function askPause(schedule, name) {
  confirm({
    title: `Pausar a agenda: ${name}`,
    text: html`<p>Nada mais começa por esta agenda até que alguém a retome. O que está em andamento continua.</p>`,
    field: { label: "Por quê? (fica registrado para quem vier depois)", placeholder: "portal em manutenção" },
    action: "Pausar",
    act: async (reason) => {
      await request("POST", `/sync/schedules/${schedule.name}/pause`, { json: { reason } });
      toast(`Agenda pausada: ${name}.`);
      await refresh("/sync/schedules");
    },
  });
}

export function askResume(schedule, name) {
  confirm({
    title: `Retomar a agenda: ${name}`,
    text: html`<p>Volta a executar no próximo horário. Os horários que passaram na pausa não são repostos; a próxima execução lê o que faltou.</p>`,
    action: "Retomar",
    act: async () => {
      await request("POST", `/sync/schedules/${schedule.name}/resume`);
      toast(`Agenda retomada: ${name}.`);
      await refresh("/sync/schedules");
    },
  });
}

export function askCron(schedule, name) {
  confirm({
    title: `Mudar o horário: ${name}`,
    text: html`<p>Cinco campos no horário de Brasília: minuto, hora, dia, mês, dia da semana. O da configuração é <code>${schedule.default_cron}</code>; deixe vazio para voltar a ele.</p>`,
    field: {
      label: "Cron",
      value: schedule.cron,
      required: false,
      maxlength: 100,
      kind: "mono",
      hint: "*/15 * * * * — a cada 15 minutos · 0 1 * * * — todo dia à 1h",
    },
    action: "Mudar horário",
    act: async (cron) => {
      await request("PUT", `/sync/schedules/${schedule.name}`, { json: { cron: cron.trim() || null } });
      toast(`Horário mudado: ${name}.`);
      await refresh("/sync/schedules");
    },
  });
}
