// What an administrator should know first: how the mirror is, in one sentence, and what wants doing, with the button.
import { ago, exactly, plural, roughly, shortDay, timeOf, when } from "./format.js";
import { meaningOf, SCHEDULE, who } from "./words.js";

const QUARTER = 15 * 60;

// Seconds between two runs of a schedule
function intervalOf(schedule) {
  const runs = (schedule?.next_runs ?? []).map((run) => Date.parse(run));
  const gaps = runs.slice(1).map((run, n) => (run - runs[n]) / 1000);
  return gaps.length ? Math.max(...gaps) : QUARTER;
}

export function judgeMirror(dashboard, schedules) {
  const { freshness, total_executions: total, workers } = dashboard;
  const update = schedules?.find((one) => one.name === "update");
  const age = freshness.updated_age_seconds;
  if (!total)
    return {
      tone: "quiet",
      title: "O espelho está vazio",
      text: "Nada foi sincronizado ainda. Comece por uma carga dos últimos dias.",
    };
  if (!workers.length) {
    return {
      tone: "bad",
      title: "Nenhum ingestor trabalha",
      text: "O que for pedido espera até que um ingestor apareça.",
    };
  }
  if (freshness.updated_until === null) {
    if (!freshness.modalidades.length)
      return {
        tone: "warn",
        title: "Ainda sem atualização",
        text: "Há cargas, mas nenhuma atualização trouxe o que mudou depois delas.",
      };
    const missing = freshness.modalidades.filter((one) => one.updated_until === null).length;
    return {
      tone: "warn",
      title: "Primeira atualização incompleta",
      text: `Faltam ${missing} de ${freshness.modalidades.length} modalidades.`,
    };
  }
  const isComplete = freshness.complete_until !== null;
  const text = `${isComplete ? "Completo" : "Atualizado"} até ${when(freshness.updated_until)}`;
  const asleep = !update || !update.enabled || update.paused;
  const expected = intervalOf(update);
  if (age <= expected * 2 + 300) {
    if (isComplete) return { tone: "good", title: "Espelho em dia", text, age };
    return {
      tone: "warn",
      title: "Atualizado, ainda não completo",
      text: `${text}; nenhum dia desde a primeira atualização foi lido por inteiro em todas as modalidades.`,
      age,
    };
  }
  if (asleep) {
    return {
      tone: age > 86400 ? "bad" : "warn",
      title: `Atualizado há ${roughly(age)}`,
      text: `${text}; ${update?.paused ? "a agenda está em pausa" : "a agenda está desligada"}.`,
      age,
    };
  }
  return {
    tone: age > Math.max(expected * 8, 21600) ? "bad" : "warn",
    title: `Atrasado ${roughly(age)}`,
    text: `${text}.`,
    age,
  };
}

// [{id, tone, title, text, kind, subject}]: `kind` says which button belongs to it
export function judgeTroubles({ dashboard, schedules, health, alerts }) {
  const troubles = [];
  if (health?.database === "disconnected")
    troubles.push({
      id: "database",
      tone: "bad",
      title: "O banco de dados está fora do ar",
      text: "Nada é lido nem gravado até que ele volte.",
    });
  if (health?.broker === "disconnected") {
    troubles.push({
      id: "broker",
      tone: "warn",
      title: "O RabbitMQ está fora do ar",
      text: "Pedidos novos são recusados; o que já foi pedido continua.",
    });
  }
  if (dashboard && !dashboard.workers.length && dashboard.total_executions) {
    troubles.push({
      id: "workers",
      tone: "bad",
      title: "Nenhum ingestor trabalha",
      text: "Inicie um: docker compose up -d ingestor, ou ./pncp up.",
    });
  }
  if (dashboard?.source_paused_until) {
    troubles.push({
      id: "source",
      tone: "warn",
      title: `O portal pediu uma pausa até ${timeOf(dashboard.source_paused_until)}`,
      text: "Todos os ingestores esperam; depois seguem sozinhos.",
    });
  }
  for (const one of dashboard?.failed ?? []) {
    const name = one.trigger === "sweep" ? "A varredura" : one.mode === "update" ? "A atualização" : "A carga";
    troubles.push({
      id: `failed-${one.id}`,
      tone: "bad",
      kind: one.can_retry ? "retry" : "execution",
      subject: one,
      title: `${name} ${one.id} falhou ${ago(one.finished_at)}`,
      text: meaningOf(one.error_message),
    });
  }
  const rejections = dashboard?.rejections;
  if (rejections?.records) {
    const span = rejections.days > 1 ? ` de ${shortDay(rejections.first_day)} a ${shortDay(rejections.last_day)}` : "";
    troubles.push({
      id: "rejections",
      tone: "warn",
      title: plural(rejections.records, "registro rejeitado", "registros rejeitados"),
      text: `${rejections.days ? `${plural(rejections.days, "dia não está completo", "dias não estão completos")}${span}. ` : ""}./pncp rejected diz quais e por quê.`,
    });
  }
  // an alert that only tells of failures that stand here already says nothing new
  const told = new Set(dashboard?.failed.map((one) => one.id));
  for (const alert of alerts ?? []) {
    const isTold =
      (alert.kind === "rejected" && rejections?.records) ||
      (alert.execution_ids?.length && alert.execution_ids.every((id) => told.has(id)));
    if (!alert.resolved_at && !isTold)
      troubles.push({
        id: `alert-${alert.id}`,
        tone: "bad",
        kind: "alert",
        subject: alert,
        title: alert.summary,
        text: `Alerta aberto ${ago(alert.opened_at)}`,
      });
  }
  for (const one of schedules ?? []) {
    if (!one.paused) continue;
    troubles.push({
      id: `paused-${one.name}`,
      tone: "warn",
      kind: "resume",
      subject: one,
      title: `Agenda em pausa: ${SCHEDULE[one.name]?.name ?? one.name}`,
      text: `“${one.pause_reason}” — ${who(one.paused_by)}, ${ago(one.paused_at)}`,
      hint: exactly(one.paused_at),
    });
  }
  return troubles;
}
