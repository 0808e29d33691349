// What is to be kept complete: since which day, how much is missing, and the form that sets it, with its cost beforehand.
import { attempt, confirm, showDialog, whatWentWrong } from "./actions.js";
import { request, withQuery } from "./api.js";
import { bytes, decimal, duration, integer, numericDay, plural, today } from "./format.js";
import { Field, focusFault } from "./forms.js";
import { refresh, useLive } from "./live.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { ResourceChoice, useResources } from "./resources.js";
import { Badge, Button, Card, Dialog, Progress, Skeleton, toast } from "./ui.js";
import { who } from "./words.js";

export const FIRST_DAY = "2021-01-01";

export const useGoals = (every = 30000) => useLive("/sync/goals", every).data?.goals ?? null;

const leftOf = (goal) =>
  goal.hours_left == null ? "" : `faltam ≈ ${duration(goal.hours_left * 3600)}`;

export function Goals() {
  const goals = useGoals(15000);
  if (!goals) return html`<${Card} id="goals" title="Manter completo"><${Skeleton} lines=${2} /><//>`;
  const set = goals.filter((one) => one.from_day);
  const rest = goals.filter((one) => !one.from_day);
  return html`<${Card} id="goals" title="Manter completo" aside=${rest.length > 0 && set.length > 0 && html`<${Button} writes kind="small" icon="plus" onClick=${() => askGoal({ resource: rest[0].resource })}>Outro recurso<//>`}>
    ${
      set.length
        ? html`<ul class="rows goals">${set.map((one) => html`<${Goal} key=${one.resource} goal=${one} />`)}</ul>`
        : html`<p class="calm">Nada está pedido. Diga desde quando o espelho deve ter tudo: o que faltar é lido aos poucos, do mais novo ao mais antigo, sem atrasar as atualizações.</p>
          <div class="card-actions"><${Button} writes kind="primary" icon="calendar" onClick=${() => askGoal()}>Manter completo desde…<//></div>`
    }<//>`;
}

function Goal({ goal }) {
  const share = goal.days ? (100 * goal.days_complete) / goal.days : 100;
  const lacks = [
    goal.days_missing && `${integer(goal.days_missing)} por ler`,
    goal.days_failed && `dos quais ${integer(goal.days_failed)} com falha`,
    goal.days_rejected && `${integer(goal.days_rejected)} com rejeitados`,
  ].filter(Boolean);
  const isDone = goal.days_missing === 0;
  return html`<li><div class="goal"><p><strong>${goal.label}</strong> desde ${numericDay(goal.from_day)}
      ${goal.paused ? html` <${Badge} tone="warn">em pausa<//>` : isDone ? html` <${Badge} tone=${goal.days_rejected ? "warn" : "good"}>${goal.days_rejected ? "com rejeitados" : "completo"}<//>` : goal.execution_id ? html` <${Badge} tone="busy">lendo<//>` : html` <${Badge} tone="quiet">na fila<//>`}</p>
      <div class="goal-bar"><${Progress} value=${share} waits=${goal.paused} label=${`${goal.label}: dias completos`} />
        <span>${integer(goal.days_complete)} de ${plural(goal.days, "dia", "dias")}</span></div>
      <p class="muted small">${[lacks.join(", "), !goal.paused && !isDone && leftOf(goal)].filter(Boolean).join(" · ")}${goal.paused && html` “${goal.pause_reason}”${goal.paused_by && ` — ${who(goal.paused_by)}`}`}</p></div>
    <span class="row-end goal-buttons">
      ${goal.paused ? html`<${Button} writes kind="small" icon="play" label=${`Retomar: ${goal.label}`} onClick=${() => resume(goal)}>Retomar<//>` : !isDone && html`<${Button} writes kind="small" icon="pause" label=${`Pausar: ${goal.label}`} onClick=${() => askPause(goal)}>Pausar<//>`}
      <${Button} writes kind="small" label=${`Mudar: ${goal.label}`} onClick=${() => askGoal({ resource: goal.resource, from: goal.from_day })}>Mudar<//>
      <${Button} writes kind="small" label=${`Remover: ${goal.label}`} onClick=${() => askRemove(goal)}>Remover<//></span></li>`;
}

const afterChange = () => refresh("/sync/goals", "/sync/dashboard", "/sync/verdict", "/sync/history");

const resume = (goal) =>
  attempt(async () => {
    await request("POST", `/sync/goals/${goal.resource}/resume`);
    toast(`${goal.label}: a leitura do que falta continua.`);
  }, afterChange);

function askPause(goal) {
  confirm({
    title: `Pausar: ${goal.label}`,
    text: html`<p>O que falta não é lido até que alguém retome. As atualizações continuam.</p>`,
    field: { label: "Por quê? (fica registrado)", placeholder: "portal em manutenção" },
    action: "Pausar",
    act: async (reason) => {
      await request("POST", `/sync/goals/${goal.resource}/pause`, { json: { reason } });
      toast(`Em pausa: ${goal.label}.`);
      await afterChange();
    },
  });
}

function askRemove(goal) {
  confirm({
    title: `Deixar de manter completo: ${goal.label}?`,
    text: html`<p>O que já foi lido fica no espelho. O que falta deixa de ser lido por si.</p>`,
    action: "Remover",
    kind: "danger",
    act: async () => {
      await request("DELETE", `/sync/goals/${goal.resource}`);
      toast(`${goal.label}: já não é mantido completo.`);
      await afterChange();
    },
  });
}

export function askGoal(given = {}) {
  showDialog(({ close }) => html`<${GoalForm} close=${close} given=${given} />`);
}

const faultOf = (from) => {
  if (!from) return "Informe o dia.";
  if (from < FIRST_DAY) return "O PNCP começa em 2021.";
  return from > today() ? "Este dia está no futuro." : "";
};

function GoalForm({ close, given }) {
  const goals = useGoals();
  const kept = useResources().filter((one) => (goals ?? [one]).some((goal) => (goal.resource ?? goal.name) === one.name));
  const [resource, setResource] = useState(given.resource ?? "contratacoes");
  const [from, setFrom] = useState(given.from ?? FIRST_DAY);
  const [busy, setBusy] = useState(false);
  const [faults, setFaults] = useState({});
  const [trouble, tell] = useState("");
  const form = useRef();
  const plan = usePlan(resource, from);
  useEffect(() => setFaults({}), [resource, from]);
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    const fault = faultOf(from);
    setFaults(fault ? { from_day: fault } : {});
    if (fault) {
      focusFault(form.current, ["from_day"]);
      return;
    }
    setBusy(true);
    tell("");
    try {
      await request("PUT", `/sync/goals/${resource}`, { json: { from_day: from } });
      toast(`Completo desde ${numericDay(from)}: o que falta é lido aos poucos.`);
      close();
      await afterChange();
    } catch (error) {
      const of = error.faultsOf(["from_day"]);
      setFaults(of);
      tell(Object.keys(of).length ? "" : whatWentWrong(error));
      focusFault(form.current, Object.keys(of));
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Manter completo" onClose=${close}>
    <form onSubmit=${submit} noValidate ref=${form}>
      <p class="dialog-text">O que faltar desde este dia é lido aos poucos, do mais novo ao mais antigo, sem atrasar as atualizações. Pode ser pausado.</p>
      <${ResourceChoice} resources=${kept} value=${resource} change=${setResource} />
      <${Field} name="from_day" label="Desde" type="date" value=${from} min=${FIRST_DAY} max=${today()} fault=${faults.from_day} change=${setFrom} />
      <div class="plan" aria-live="polite">${plan ? html`<${Cost} plan=${plan} />` : html`<p class="muted">${faultOf(from) || "Calculando quanto custa…"}</p>`}</div>
      <div role="alert" class="form-trouble">${trouble && html`<p>${trouble}</p>`}</div>
      <div class="dialog-actions"><${Button} onClick=${close}>Voltar<//><${Button} writes type="submit" kind="primary" busy=${busy}>Manter completo<//></div>
    </form><//>`;
}

// What it would cost, asked for when the form has been still for a moment; {} while the question fails, and it is asked again
function usePlan(resource, from) {
  const wanted = faultOf(from) ? null : withQuery(`/sync/goals/${resource}/plan`, { from_day: from });
  const [asked, ask] = useState(null);
  useEffect(() => {
    const timer = setTimeout(() => ask(wanted), 250);
    return () => clearTimeout(timer);
  }, [wanted]);
  const { data, error } = useLive(asked === wanted ? wanted : null);
  return data ?? (error && {});
}

function Cost({ plan }) {
  const said = (value, text) => (value == null ? "—" : text(value));
  if (plan.days === undefined) return html`<p class="muted">O custo não pôde ser calculado; pode ser pedido assim mesmo.</p>`;
  if (plan.days === 0) return html`<p>Nada falta: o espelho já tem tudo desde este dia.</p>`;
  return html`<dl class="figures">
      <div><dt>Faltam</dt><dd>${plural(plan.days, "dia", "dias")}</dd><dd class="hint">${said(plan.slices, (n) => plural(n, "fatia", "fatias"))}</dd></div>
      <div><dt>Pedidos ao portal</dt><dd>${said(plan.requests, (n) => `≈ ${integer(n)}`)}</dd><dd class="hint">${said(plan.bytes, (n) => `≈ ${bytes(n)}`)}</dd></div>
      <div><dt>Tempo</dt><dd>${said(plan.hours, (n) => (n < 1 ? `≈ ${duration(n * 3600)}` : `≈ ${decimal(n)} h`))}</dd><dd class="hint">no ritmo de hoje</dd></div>
    </dl>`;
}
