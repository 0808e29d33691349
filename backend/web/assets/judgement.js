// What an administrator should know first: how the mirror is, in one sentence, and what wants doing, with the button.
import { ago, duration, exactly, integer, now, plural, roughly, shortDay, when } from "./format.js";
import { lacksOf, meaningOf, schedule, TABLE, who } from "./words.js";

const QUARTER = 15 * 60;

// Seconds between two runs of a schedule
function intervalOf(schedule) {
  const runs = (schedule?.next_runs ?? []).map((run) => Date.parse(run));
  const gaps = runs.slice(1).map((run, n) => (run - runs[n]) / 1000);
  return gaps.length ? Math.max(...gaps) : QUARTER;
}

const REASON = {
  down: "não responde",
  refused: "recusa os pedidos",
  blocked: "bloqueia os pedidos",
  throttled: "pediu uma pausa",
};

export const reasonOf = ({ reason }) => REASON[reason] ?? REASON.throttled;

// A service is a listing, by the name of its resource, or what has the lists of records.
function nameOf(service) {
  if (service === "consulta") return "O portal";
  if (service === "itens_pca") return "O serviço de itens de planos do portal";
  return TABLE[service] ? `A listagem de ${TABLE[service]} do portal` : `O serviço de ${service} do portal`;
}

// "O portal não responde desde 10:16; nova tentativa em 21 s"
function sourceLine(one) {
  const { service, failing_since: since, next_try_at: next } = one;
  const name = nameOf(service);
  const left = Math.ceil((Date.parse(next) - now()) / 1000);
  const trial = left > 0 ? `nova tentativa em ${duration(left)}` : "tentando de novo";
  return `${name} ${reasonOf(one)}${since ? ` desde ${when(since).replace("hoje, ", "")}` : ""}; ${trial}`;
}

// What keeps the listings from being read; a pause that the portal asks for is its ordinary way.
const isFailing = (one) => one.reason && one.reason !== "throttled";

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
  const failing = dashboard.source.find((one) => one.service === "consulta" && isFailing(one));
  if (failing) {
    const until = freshness.updated_until;
    return {
      tone: "bad",
      title: sourceLine(failing),
      text: `${until ? `Atualizado até ${when(until)}` : "Ainda sem atualização"}. Tudo segue sozinho quando ele voltar.`,
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
  for (const one of dashboard?.source ?? []) {
    troubles.push({
      id: `source-${one.service}`,
      tone: isFailing(one) ? "bad" : "warn",
      title: sourceLine(one),
      text: `${one.cause ? `${meaningOf(one)}. ` : ""}Todos os ingestores esperam; depois seguem sozinhos.`,
      original: one.error_message,
    });
  }
  troubles.push(...failedLines(dashboard));
  troubles.push(...lateLines(dashboard, schedules));
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
  troubles.push(...owedLines(dashboard));
  if (dashboard?.drift.length) {
    const fields = dashboard.drift.map((one) => `${one.path} (${one.kind}, ${plural(one.records, "registro", "registros")})`);
    troubles.push({
      id: "drift",
      tone: "warn",
      title: plural(fields.length, "campo mudou de tipo no portal", "campos mudaram de tipo no portal"),
      text: `${fields.slice(0, 3).join("; ")}${fields.length > 3 ? "; …" : ""}. A coluna fica vazia, e o valor está em payload.`,
      hint: fields.join("\n"),
    });
  }
  // an alert that only tells of what stands here already says nothing new
  const stands = {
    source: dashboard?.source.length,
    rejected: rejections?.records,
    itens: dashboard?.itens_owed.count,
    drift: dashboard?.drift.length,
  };
  const told = new Set(dashboard?.failed.map((one) => one.id));
  for (const alert of alerts ?? []) {
    const isTold =
      stands[alert.kind] ||
      (alert.execution_ids?.length &&
        (alert.execution_ids.every((id) => told.has(id)) || alert.execution_ids.length <= dashboard.failed_count));
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
      title: `Agenda em pausa: ${schedule(one).name}`,
      text: `“${one.pause_reason}” — ${who(one.paused_by)}, ${ago(one.paused_at)}`,
      hint: exactly(one.paused_at),
    });
  }
  return troubles;
}

// Items that did not come with their records, of each resource; and lists that are read later and were given up.
function owedLines(dashboard) {
  const { resources = [], causes = [] } = dashboard?.itens_owed ?? {};
  const items = resources.map((one) => {
    const reasons = causes.filter((each) => each.resource === one.resource);
    const aside = one.set_aside ? ` ${plural(one.set_aside, "já não é tentado", "já não são tentados")}.` : "";
    return {
      id: `owed-${one.resource}`,
      tone: "warn",
      title: `${one.label}: ${plural(one.count, "registro espera", "registros esperam")} desde ${when(one.since)}`,
      text: `${lacksOf(reasons)}. São lidos assim que o portal os der.${aside}`,
      original: reasons.flatMap((each) => each.cause ?? []).join("\n"),
    };
  });
  const lists = (dashboard?.lists_owed ?? []).filter((one) => one.set_aside);
  return [
    ...items,
    ...lists.map((one) => ({
      id: `aside-${one.resource}-${one.list}`,
      tone: "warn",
      title: `${one.label}: ${plural(one.set_aside, "registro posto de lado", "registros postos de lado")}`,
      text: `A leitura falhou demais e já não é tentada. ./pncp itens --list ${one.list} diz por quê; com --retry, tenta de novo.`,
    })),
  ];
}

// Updates of further resources that are late by their own schedule; contratações are the first thing that the page says.
function lateLines(dashboard, schedules) {
  const lines = [];
  for (const one of dashboard?.resources ?? []) {
    const update = schedules?.find((each) => each.name === `${one.resource}.update`);
    if (!update?.enabled || update.paused || one.updated_until === null) continue;
    if (one.updated_age_seconds <= intervalOf(update) * 2 + 300) continue;
    lines.push({
      id: `late-${one.resource}`,
      tone: "warn",
      title: `${one.label}: atualização atrasada`,
      text: `Atualizado até ${when(one.updated_until)}, ${roughly(one.updated_age_seconds)} atrás.`,
    });
  }
  return lines;
}

// " de atas"; nothing of contratações, which are meant where nothing else is said
const ofResource = ({ resource }) =>
  !resource || resource === "contratacoes" ? "" : ` de ${TABLE[resource] ?? resource}`;

// Failed updates are one line: the next one reads again what they did not. Every other failure has its own.
function failedLines(dashboard) {
  const failed = dashboard?.failed ?? [];
  const updates = failed.filter((one) => one.mode === "update");
  const others = failed.filter((one) => one.mode !== "update");
  const lines = others.map((one) => ({
    id: `failed-${one.id}`,
    tone: "bad",
    kind: one.can_retry ? "retry" : "execution",
    subject: one,
    title: `${one.trigger === "sweep" ? "A varredura" : "A carga"}${ofResource(one)} ${one.id} falhou ${ago(one.finished_at)}`,
    text: meaningOf(one),
  }));
  const [newest] = updates;
  if (newest)
    lines.push({
      id: "failed-updates",
      tone: "bad",
      kind: "execution",
      subject: newest,
      title:
        dashboard.failed_updates_count === 1
          ? `A atualização${ofResource(newest)} ${newest.id} falhou ${ago(newest.finished_at)}`
          : `${integer(dashboard.failed_updates_count)} atualizações falharam; a última ${ago(newest.finished_at)}`,
      text: `${meaningOf(newest)}. A próxima lê de novo o que faltou.`,
    });
  const unseen = dashboard ? dashboard.failed_count - dashboard.failed_updates_count - others.length : 0;
  if (unseen > 0)
    lines.push({
      id: "failed-others",
      tone: "bad",
      kind: "history",
      title: `Mais ${plural(unseen, "carga falhou", "cargas falharam")} nesta semana`,
      text: "O histórico mostra todas.",
    });
  return lines;
}
