// What the API's words are called in Portuguese, and what its errors mean.
export const STATUS = { running: "em andamento", success: "sucesso", error: "erro", pending: "na fila" };
export const PHASE = {
  queued: "na fila",
  running: "em andamento",
  waiting: "aguardando o portal",
  finished: "terminada",
};
// How an execution has ended, for people: one that was cancelled is no error.
export const endOf = (execution) => (execution.cancelled ? "cancelada" : STATUS[execution.status]);
export const BAR = { success: "com sucesso", error: "com erro", cancelled: "canceladas", running: "em andamento" };
export const CELL = {
  success: "lida",
  rejected: "lida, com rejeitados",
  error: "com erro",
  running: "em andamento",
  waiting: "nova tentativa marcada",
  pending: "na fila",
  cut_off: "interrompida",
};
export const MODE = { update: "Atualização", backfill: "Carga" };
export const TRIGGER = {
  api: "pedida aqui ou pela API",
  message: "por mensagem",
  schedule: "agenda",
  sweep: "agenda noturna",
  gap: "lacuna",
  goal: "meta",
  retry: "repetição",
  after_update: "depois de atualização",
};
export const CRITERIO = { publicacao: "por publicação", atualizacao: "por alteração" };
const SCHEDULES = {
  update: { name: "Atualização", what: "Busca o que mudou desde a última." },
  sweep: {
    name: "Varredura noturna",
    what: "Lê os dias fechados que ainda não foram lidos por inteiro e, de novo, as alterações dos últimos três; aos domingos, o que foi publicado ou incluído nos últimos 30.",
  },
  "dominios.update": {
    name: "Tabelas de domínio",
    what: "Relê por inteiro as listas de códigos do portal, como modalidades e amparos legais.",
  },
};
// "update", "sweep", or of another resource than contratações "contratos.update"
export function schedule({ name, label }) {
  if (SCHEDULES[name]) return SCHEDULES[name];
  const [action, resource] = name.split(".").reverse();
  const { name: called, what } = SCHEDULES[action] ?? { name, what: "" };
  return { name: resource ? `${called} de ${label ? lower(label) : resource}` : called, what };
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
  itens_pca: "itens de planos",
  contratos: "contratos",
  atas: "atas",
  pcas: "planos de contratação anual",
  instrumentos_cobranca: "instrumentos de cobrança",
  dominios: "tabelas de domínio",
  orgaos: "órgãos",
  unidades: "unidades",
  fornecedores: "fornecedores",
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
  const kind = { sweep: "Varredura", gap: "Carga de lacuna", goal: "Carga da meta" }[execution.trigger] ?? MODE[execution.mode];
  const { resource } = execution;
  return !resource || resource === "contratacoes" ? kind : `${kind} de ${TABLE[resource] ?? resource}`;
}

// Why an execution or a slice failed, and what helps where anything but waiting does, by the API's word for it.
const CAUSE = {
  portal_down: ["O portal falhou por tempo demais", "Quando o portal voltar, repita o que falhou."],
  no_answer: ["O portal não respondeu como devia", "O portal falhou; quando ele voltar, repita o que falhou."],
  portal_refused: ["O portal recusou o pedido", "Veja se o portal abre a partir deste servidor; depois repita o que falhou."],
  bad_answer: ["A resposta do portal não pôde ser usada", "Repita mais tarde; se continuar, procure uma versão mais nova."],
  incomplete: ["A listagem do portal não está completa", "O portal não fecha a própria conta; repita mais tarde."],
  database: ["O banco de dados não gravou o que foi lido", "Veja o espaço em disco e o log do PostgreSQL."],
  internal: ["Houve um erro inesperado do programa", "O registro da execução mostra o erro."],
  stalled: ["Ingestores seguidos caíram sem gravar uma página", "Veja a memória e o log dos ingestores."],
  no_worker: ["Nenhum ingestor apareceu em uma hora", "Inicie um ingestor e peça de novo."],
  publish_failed: ["O RabbitMQ não aceitou o aviso; nada começou", "Veja se o RabbitMQ está no ar e peça de novo."],
  cancelled: ["Cancelada", ""],
  cut_off: ["A execução terminou antes", ""],
  destination_down: ["O destino falhou por tempo demais", "Veja se o destino responde; a próxima entrega deve o mesmo, e o que tiver mudado."],
  destination_stopped: ["O destino não quer mais receber", "Pergunte ao destino por quê; depois retome o envio."],
  misconfigured: ["Um arquivo de conexões não vale", "python -m ingestor connections check diz o arquivo e a linha."],
  bad_file: ["O arquivo ou as suas linhas não são aceitos", "A importação diz o que corrigir; depois envie o arquivo de novo."],
  source_down: ["O banco de dados de origem falhou por tempo demais", "Veja se o banco de dados responde; a próxima leitura traz o mesmo, e o que tiver mudado."],
  source_changed: ["O banco de dados de origem não tem mais as colunas ou a chave que o arquivo diz", "Compare o arquivo em sources/ com a visão; nada foi removido."],
};

// Of an execution, a slice, or what else has `cause` and `error_message`; a word that is not known leaves the sentence.
export function meaningOf({ cause, error_message: message, cancelled_by: by, progress }) {
  if (cause === "cancelled" && by) return `Cancelada por ${who(by)}`;
  const [said] = CAUSE[cause] ?? [message || "Sem mensagem"];
  return progress?.slices_failed && cause !== "cancelled"
    ? `${progress.slices_failed} de ${progress.slices_total} fatias falharam: ${lower(said)}`
    : said;
}

export const adviceFor = ({ cause }) => CAUSE[cause]?.[1] ?? "";

export const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);

// Without authentication all users have one name.
export const who = (name) => (name === "an administrator" ? "um administrador" : name);

// What a purchase comes to beside the portal: how it is marked, and what it is called as a tile and as a value.
export const RECONCILED = {
  nao_encontrada: ["bad", "Não está no PNCP", "não está no PNCP"],
  valor_difere: ["bad", "Valor difere", "valor difere"],
  fora_do_prazo: ["warn", "Publicada fora do prazo", "fora do prazo"],
  ambigua: ["warn", "Mais de uma possível", "mais de uma possível"],
  sem_identificacao: ["warn", "Sem identificação", "sem identificação"],
  so_no_pncp: ["warn", "Só no PNCP", "só no PNCP"],
  publicada_sem_valor: ["quiet", "Publicada, sem valor a comparar", "sem valor a comparar"],
  publicada_e_igual: ["good", "Publicada e igual", "publicada e igual"],
};

// By which way rows came in, and how an import goes.
export const DOORS = { api: "pela API", file: "arquivo, pela API", folder: "pasta", page: "esta página", sql: "banco de dados" };
export const IMPORT = {
  receiving: ["quiet", "recebendo"],
  queued: ["quiet", "na fila"],
  checking: ["busy", "conferindo"],
  held: ["warn", "espera confirmação"],
  processing: ["busy", "gravando"],
  done: ["good", "terminada"],
  refused: ["bad", "recusada"],
  discarded: ["quiet", "descartada"],
};
export const ROW = { pending: ["warn", "espera"], processed: ["good", "gravada"], unchanged: ["quiet", "sem mudança"], rejected: ["bad", "recusada"] };
export const ACTION = { create: "cria", change: "muda", none: "não muda nada", remove: "remove" };

// Values that the portal writes as a letter, by the end of the name of a filter or field; and words of ours.
const LETTERS = {
  situacao: Object.fromEntries(Object.entries(RECONCILED).map(([name, [, , said]]) => [name, said])),
  identificada_por: { numero_controle_pncp: "número de controle", ano_sequencial: "ano e sequencial", processo: "processo", numero_edital: "número do edital" },
  esfera: { F: "Federal", E: "Estadual", M: "Municipal", D: "Distrital", N: "Não se aplica" },
  poder: { E: "Executivo", L: "Legislativo", J: "Judiciário", N: "Não se aplica" },
  tipo_pessoa: { PJ: "Pessoa jurídica", PF: "Pessoa física", PE: "Pessoa estrangeira" },
  material_ou_servico: { M: "Material", S: "Serviço" },
};

export function letterName(name, value) {
  const kind = Object.keys(LETTERS).find((one) => name.replace(/_id$/, "").endsWith(one));
  return (kind && LETTERS[kind][value]) ?? null;
}

export const YES_NO = { true: "Sim", false: "Não" };
