// What the API's words are called in Portuguese, and what its errors mean.
export const STATUS = { running: "em andamento", success: "sucesso", error: "erro", pending: "na fila" };
export const PHASE = {
  queued: "na fila",
  running: "em andamento",
  waiting: "aguardando o portal",
  finished: "terminada",
};
export const MODE = { update: "Atualização", backfill: "Carga" };
export const TRIGGER = {
  api: "pedida aqui ou pela API",
  message: "por mensagem",
  schedule: "agenda",
  sweep: "agenda noturna",
  gap: "lacuna",
  retry: "repetição",
};
export const CRITERIO = { publicacao: "por publicação", atualizacao: "por alteração" };
const SCHEDULES = {
  update: { name: "Atualização", what: "Busca o que mudou desde a última." },
  sweep: {
    name: "Varredura noturna",
    what: "Relê os dias fechados que nenhuma varredura leu, e as alterações dos últimos três; aos domingos, os últimos 30.",
  },
};
// "update", "sweep", or of another resource than contratações "contratos.update"
export function schedule(name) {
  const [action, resource] = name.split(".").reverse();
  const { name: called, what } = SCHEDULES[action] ?? { name, what: "" };
  return { name: resource ? `${called} de ${TABLE[resource] ?? resource}` : called, what };
}
export const COVERAGE = {
  complete: "completo",
  rejected: "com rejeitados",
  partial: "parcial",
  failed: "com falha",
  running: "em andamento",
  never: "nunca pedido",
};
export const TABLE = {
  contratacoes: "contratações",
  itens_contratacao: "itens",
  contratos: "contratos",
  orgaos: "órgãos",
  unidades: "unidades",
  rejected_records: "rejeitados",
};

const MODALIDADES = {
  1: "Leilão eletrônico",
  2: "Diálogo competitivo",
  3: "Concurso",
  4: "Concorrência eletrônica",
  5: "Concorrência presencial",
  6: "Pregão eletrônico",
  7: "Pregão presencial",
  8: "Dispensa",
  9: "Inexigibilidade",
  10: "Manifestação de interesse",
  11: "Pré-qualificação",
  12: "Credenciamento",
  13: "Leilão presencial",
  14: "Inaplicabilidade da licitação",
  15: "Chamada pública",
  16: "Concorrência eletrônica internacional",
  17: "Concorrência presencial internacional",
  18: "Pregão eletrônico internacional",
  19: "Pregão presencial internacional",
};

export const modalidade = (id) => (id === null ? "Todas" : (MODALIDADES[id] ?? `Modalidade ${id}`));

export function kindOf(execution) {
  if (execution.trigger === "retry") return `Repetição de ${execution.retry_of ?? "outra"}`;
  const kind = { sweep: "Varredura", gap: "Carga de lacuna" }[execution.trigger] ?? MODE[execution.mode];
  const { resource } = execution;
  return !resource || resource === "contratacoes" ? kind : `${kind} de ${TABLE[resource] ?? resource}`;
}

// The ingestor's own errors, in the order in which they are tried; what none of them knows is shown as it is.
const MEANINGS = [
  [/^cancelled by an administrator$/, () => "Cancelada por um administrador"],
  [/^cancelled by (.+)$/, (m) => `Cancelada por ${m[1]}`],
  [/^no worker$/, () => "Nenhum ingestor apareceu em uma hora"],
  [/^Failed to publish to RabbitMQ/, () => "O RabbitMQ não aceitou o aviso; nada começou"],
  [/^(\S+) of (\S+) slices failed: (.*)$/s, (m) => `${m[1]} de ${m[2]} fatias falharam: ${lower(meaningOf(m[3]))}`],
  [/^planning failed: (.*)$/, (m) => `Não foi possível planejar (${m[1]})`],
  [/^(\S+) workers in a row ended without a page(?:: (.*))?/s, (m) => `${m[1]} ingestores seguidos caíram nesta fatia`],
  [
    /^(\S+) of (\S+) records are missing from the listing/,
    (m) => `Faltam ${m[1]} dos ${m[2]} registros que o portal promete`,
  ],
  [/status 429/, () => "O portal pediu uma pausa (429)"],
  [/status (5\d\d|…)/, (m) => (m[1] === "…" ? "O portal respondeu com erro" : `O portal respondeu com erro (${m[1]})`)],
  [/status (4\d\d)/, (m) => `O portal recusou o pedido (${m[1]})`],
  [/Timeout|timed out/i, () => "O portal não respondeu a tempo"],
  [/ConnectError|ConnectionRefused|Cannot connect|Name or service/i, () => "Não houve conexão com o portal"],
  [/ReadError|RemoteProtocolError|Server disconnected|body/i, () => "A resposta do portal veio cortada"],
];

export function meaningOf(message) {
  if (!message) return "Sem mensagem";
  for (const [pattern, say] of MEANINGS) {
    const match = pattern.exec(message);
    if (match) return say(match);
  }
  return message;
}

const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);

// Where there is no authentication, nobody is told apart.
export const who = (name) => (name === "an administrator" ? "um administrador" : name);

// What helps, where anything but waiting or repeating does.
export function adviceFor(message) {
  if (!message) return "";
  if (/no worker/.test(message)) return "Inicie um ingestor e peça de novo.";
  if (/RabbitMQ/.test(message)) return "Veja se o RabbitMQ está no ar e peça de novo.";
  if (/records are missing/.test(message)) return "O portal não fecha a própria conta; repita mais tarde.";
  if (/status (5|429)|Timeout|timed out|Connect/i.test(message))
    return "O portal falhou; quando ele voltar, repita o que falhou.";
  return "";
}
