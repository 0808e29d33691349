"""Why an execution or a slice failed, and what helps; how a service of the portal fails; why a list is owed."""

_REPEAT = ("Quando o portal voltar, repita o que falhou.", "When the portal is back, repeat what failed.")
SENTENCES = {
    "cause.portal_down": ("o portal falhou por tempo demais", "the portal failed for too long"),
    "cause.no_answer": ("o portal não respondeu como devia", "the portal did not answer as it should"),
    "cause.portal_refused": ("o portal recusou o pedido", "the portal refused the request"),
    "cause.bad_answer": ("a resposta do portal não pôde ser usada", "the portal's answer could not be used"),
    "cause.incomplete": ("a listagem do portal não está completa", "the portal's listing is not complete"),
    "cause.database": ("o banco de dados não gravou o que foi lido", "the database did not store what was read"),
    "cause.internal": ("houve um erro inesperado do programa", "the program had an unexpected error"),
    "cause.stalled": (
        "ingestores seguidos caíram sem gravar uma página",
        "ingestors in a row ended without storing a page",
    ),
    "cause.no_worker": ("nenhum ingestor apareceu em uma hora", "no ingestor was there for an hour"),
    "cause.publish_failed": ("o RabbitMQ não aceitou o aviso", "RabbitMQ did not accept the message"),
    "cause.cancelled": ("foi cancelada", "it was cancelled"),
    "cause.cut_off": ("a execução terminou antes", "its execution ended before"),
    "cause.destination_down": ("o destino falhou por tempo demais", "the destination failed for too long"),
    "cause.destination_stopped": ("o destino não quer mais receber", "the destination wants no more"),
    "cause.misconfigured": ("um arquivo de conexões não vale", "a file of connections does not hold"),
    "cause.bad_file": ("o arquivo ou as suas linhas não são aceitos", "the file or its rows are not accepted"),
    "cause.source_down": (
        "o banco de dados de origem falhou por tempo demais",
        "the source database failed for too long",
    ),
    "cause.source_changed": (
        "o banco de dados de origem não tem mais as colunas ou a chave que o arquivo diz",
        "the source database no longer has the columns or the key that its file names",
    ),
    "cause.unknown": ("motivo não registrado", "the reason was not recorded"),
    "advice.portal_down": _REPEAT,
    "advice.no_answer": _REPEAT,
    "advice.portal_refused": (
        "Veja se o portal abre a partir deste servidor; depois repita o que falhou.",
        "Check that the portal opens from this server; then repeat what failed.",
    ),
    "advice.bad_answer": (
        "Repita mais tarde; se continuar, procure uma versão mais nova.",
        "Repeat it later; if it goes on, look for a newer version.",
    ),
    "advice.incomplete": (
        "O portal não fecha a própria conta; repita mais tarde.",
        "The portal's own totals do not add up; repeat it later.",
    ),
    "advice.database": (
        "Veja o espaço em disco e o log do PostgreSQL.",
        "Check the disk space and the log of PostgreSQL.",
    ),
    "advice.internal": ("O log da execução mostra o erro.", "The execution's log shows the error."),
    "advice.stalled": ("Veja a memória e o log dos ingestores.", "Check the memory and the log of the ingestors."),
    "advice.no_worker": ("Inicie um ingestor e peça de novo.", "Start an ingestor and ask again."),
    "advice.publish_failed": (
        "Veja se o RabbitMQ está no ar e peça de novo.",
        "Check that RabbitMQ is up and ask again.",
    ),
    "advice.cancelled": ("Nada a fazer.", "There is nothing to do."),
    "advice.cut_off": ("A causa é a da execução.", "The cause is that of the execution."),
    "advice.destination_down": (
        "Veja se o destino responde; o próximo envio deve o mesmo, e o que tiver mudado.",
        "Check that the destination answers; the next delivery owes the same, and what has changed.",
    ),
    "advice.destination_stopped": (
        "Pergunte ao destino por quê; depois retome o envio.",
        "Ask the destination why; then resume the delivery.",
    ),
    "advice.misconfigured": (
        "`python -m ingestor connections check` diz o arquivo e a linha.",
        "`python -m ingestor connections check` names the file and the line.",
    ),
    "advice.bad_file": (
        "A importação diz o que corrigir; depois envie o arquivo de novo.",
        "The import says what to correct; then send the file again.",
    ),
    "advice.source_down": (
        "Veja se o banco de dados responde; a próxima leitura traz o mesmo, e o que tiver mudado.",
        "Check that the database answers; the next reading brings the same, and what has changed.",
    ),
    "advice.source_changed": (
        "Compare o arquivo em sources/ com a visão; nada foi removido.",
        "Compare the file in sources/ with the view; nothing was removed.",
    ),
    "advice.unknown": ("O log da execução mostra o erro.", "The execution's log shows the error."),
    "outage.throttled": ("pede pausas", "asks for pauses"),
    "outage.blocked": ("responde com uma página de bloqueio", "answers with a page that blocks us"),
    "outage.refused": ("recusa os pedidos", "refuses our requests"),
    "outage.down": ("não responde", "does not answer"),
    "outage.bad_answer": ("dá respostas que não podem ser usadas", "gives answers that cannot be used"),
    "service.consulta": ("O portal", "The portal"),
    "service.itens": ("O serviço de itens do portal", "The portal's service of items"),
    "service.itens_pca": (
        "O serviço de itens de planos do portal",
        "The portal's service of items of plans",
    ),
    "service.listing": ("A listagem de {service:resource} do portal", "The portal's listing of {service:resource}"),
    "service.other": ("O serviço de {service} do portal", "The portal's service of {service}"),
    "owed.unread": (
        "a lista de {records:# registro|# registros} não pôde ser lida",
        "the list of {records:# record|# records} could not be read",
    ),
    "owed.empty": (
        "a lista de {records:# registro|# registros} veio vazia, o que nada confirma ainda",
        "the list of {records:# record|# records} was empty, which nothing confirms yet",
    ),
}
