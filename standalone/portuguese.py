"""The texts of the terminal in Portuguese, by the English text that stands in the code."""

from typing import Final

from standalone.cli import EXPORT_DESCRIPTION, EXPORT_EPILOG, HELP

TEXTS: Final = {
    HELP: """\
uso: ./pncp COMANDO [OPÇÕES]

O PNCP Sync mantém no PostgreSQL um espelho do Portal Nacional de Contratações Públicas.

{commands}

./pncp COMANDO --help mostra as opções de um comando, ./pncp --version a versão.

Códigos de saída: 0 feito; 1 falhou, ou verdict, verify, rejected, itens ou connections acharam algo; 2 opções erradas;
3 exportado, mas o espelho não está completo para isso, ou importado, mas não todas as linhas; 130 interrompido. Ctrl-C
encerra demo e up em ordem (0), um segundo na hora (130). Enquanto se acompanha uma sincronização, encerra só o
acompanhamento.

A configuração vem do ambiente, depois do .env, depois do padrão:

  DATABASE_URL   um PostgreSQL a usar em vez do embutido
  RABBITMQ_URL   um broker a usar; sem ele o ingestor consulta o banco
  BACKEND_PORT   a porta em 127.0.0.1 (8000, ou a próxima livre)
  PNCP_HOME      onde ficam dados e registros (.data na pasta do projeto)
  PNCP_SYNC_URL, PNCP_SYNC_USERNAME, PNCP_SYNC_PASSWORD
                 o backend a quem perguntar, e o usuário; sem elas o que roda aqui, como o administrador do .env
  LANGUAGE, LC_ALL, LC_MESSAGES, LANG
                 o idioma: português, ou inglês se a primeira definida começa com en
  PYTHON         o Python a usar, 3.11 ou mais novo

A primeira chamada cria .venv aqui e instala os pacotes fixados, com o uv se instalado, senão com o pip.
""",
    EXPORT_DESCRIPTION: """\
Grava em um arquivo as linhas de uma lista da API: todas, como eram num só momento.

Todo filtro da lista é uma opção com o nome dele, com um valor ou vários, repetida ou entre vírgulas:

  ./pncp export contratos --uf SC,PR --data-publicacao-de 2026-01-01 --formato xlsx -o contratos.xlsx
""",
    EXPORT_EPILOG: """\
Poucas linhas vêm na hora; para muitas o backend faz um arquivo, com uma barra de andamento aqui, e Ctrl-C o cancela.
O arquivo só tem o seu nome quando está inteiro. A última linha, na saída de erros, diz se o espelho está completo para
o que foi exportado. Códigos de saída: 0 feito e completo, 1 falhou, 2 opções ou filtros errados, 3 feito, mas o espelho
não está completo, 130 interrompido.
""",
    # Groups and commands
    "Run it": "Executar",
    "Ask the backend, here or elsewhere": "Perguntar ao backend, nesta máquina ou em outra",
    "Work on the database of the services that run here, else on that of DATABASE_URL": (
        "Trabalhar no banco dos serviços que rodam aqui, senão no de DATABASE_URL"
    ),
    "Develop it": "Desenvolver",
    "everything here against a simulated portal; no internet needed": (
        "tudo nesta máquina com um portal simulado; sem internet"
    ),
    "everything here against the real portal": "tudo nesta máquina com o portal verdadeiro",
    "is the mirror fresh, complete and healthy; exit code 1 if not": (
        "o espelho está em dia, completo e saudável? código de saída 1 se não"
    ),
    "the verdict, and how an execution goes": "o veredito, e como vai uma execução",
    "start a synchronisation, or say what it would come to": "inicia uma sincronização, ou diz quanto ela custaria",
    "executions, newest first": "execuções, da mais nova para a mais antiga",
    "one execution with its failed slices": "uma execução com as fatias que falharam",
    "what an execution has logged": "o registro (log) de uma execução",
    "end executions": "cancela execuções",
    "repeat what failed of an execution": "repete o que falhou numa execução",
    "repeat all that failed": "repete tudo o que falhou",
    "what the mirror has of each day": "o que o espelho tem de cada dia",
    "since when each resource is kept complete": "desde quando cada recurso é mantido completo",
    "what starts by itself: list, pause, resume, change": "o que começa sozinho: lista, pausa, retoma, muda",
    "episodes of trouble; try the channels; acknowledge": "episódios de problemas; testar os canais; dar ciência",
    "what has changed in the mirror, the newest last": "o que mudou no espelho, o mais novo por último",
    "rows of the mirror as a file: ENTIDADE --FILTRO VALOR ... -o FILE": (
        "linhas do espelho em um arquivo: ENTIDADE --FILTRO VALOR ... -o ARQUIVO"
    ),
    "saved searches: list, show the next message, remove": "buscas salvas: lista, mostra a próxima mensagem, apaga",
    "send a destination what it lacks, or show what that is": "envia a um destino o que lhe falta, ou o mostra",
    "destinations and deliveries: list, confirm, pause, trace": "destinos e entregas: lista, confirma, pausa, rastreia",
    "a token for the API, good for half an hour": "um token para a API, válido por meia hora",
    "the page in a browser": "a página no navegador",
    "compare the mirror with the portal; exit code 1 if they differ: --from DAY --to DAY": (
        "compara o espelho com o portal; código de saída 1 se diferem: --from DIA --to DIA"
    ),
    "records that could not be stored; --retry tries again": (
        "registros que não puderam ser gravados; --retry tenta de novo"
    ),
    "contratações whose items are owed; --retry tries again": (
        "contratações cujos itens ainda faltam; --retry tenta de novo"
    ),
    "--plan: what reading results, documents and termos comes to": (
        "--plan: quanto custa ler resultados, documentos e termos"
    ),
    "connections to other systems: check, schema, preview NAME, forget NAME": (
        "conexões com outros sistemas: check, schema, preview NOME, forget NOME"
    ),
    "a prompt of the database; options go to psql": "o psql do banco; as opções vão para o psql",
    "the whole database into one file: [FILE]": "o banco inteiro em um arquivo: [ARQUIVO]",
    "a backup back into the database: [--force] FILE": "devolve um backup ao banco: [--force] ARQUIVO",
    "the hash of a password, for ADMIN_PASSWORD_HASH": "o hash de uma senha, para ADMIN_PASSWORD_HASH",
    "a secret and a file for a program that calls the API: NAME --scope SCOPE": (
        "um segredo e um arquivo para um programa que chama a API: NOME --scope ESCOPO"
    ),
    "completion of these commands for a shell: bash, zsh, fish": (
        "preenchimento destes comandos em um shell: bash, zsh, fish"
    ),
    "the test suite in fresh databases; arguments go to pytest": (
        "os testes, em bancos novos; os argumentos vão para o pytest"
    ),
    "format, lint, types and import rules; changes nothing": "formato, lint, tipos e regras de import; não muda nada",
    "the benchmarks, printed as tables: ingest, api, scale, requests, files, deliver, intake, read": (
        "as medições, em tabelas: ingest, api, scale, requests, files, deliver, intake, read"
    ),
    "random faults on real processes, then the check that nothing was lost": (
        "falhas ao acaso em processos reais, e depois a prova de que nada se perdeu"
    ),
    "commands": "comandos",
    "unknown command {name}": "comando desconhecido {name}",
    "; did you mean {near}?": "; você quis dizer {near}?",
    # argparse's own
    "usage: ": "uso: ",
    "options": "opções",
    "positional arguments": "argumentos",
    "show this help message and exit": "mostra esta ajuda e termina",
    "%(prog)s: error: %(message)s\n": "%(prog)s: erro: %(message)s\n",
    "argument %(argument_name)s: %(message)s": "argumento %(argument_name)s: %(message)s",
    "unrecognized arguments: %s": "argumentos desconhecidos: %s",
    "the following arguments are required: %s": "faltam os argumentos: %s",
    "one of the arguments %s is required": "falta um dos argumentos %s",
    "not allowed with argument %s": "não vai junto com o argumento %s",
    "invalid choice: %(value)r (choose from %(choices)s)": "valor inválido: %(value)r (use um de %(choices)s)",
    "invalid %(type)s value: %(value)r": "valor inválido: %(value)r",
    "expected one argument": "falta o valor",
    "expected at least one argument": "falta pelo menos um valor",
    # Options
    "ACTION": "AÇÃO",
    "must be at least 1": "deve ser pelo menos 1",
    "must lie between 0 and 1": "deve estar entre 0 e 1",
    "{text} is neither YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SS": "{text} não é AAAA-MM-DD nem AAAA-MM-DDTHH:MM:SS",
    "{text} is in no calendar": "{text} não existe no calendário",
    "{text} is not YYYY-MM-DD": "{text} não é AAAA-MM-DD",
    "--backfill: {start} comes after {end}": "--backfill: {start} vem depois de {end}",
    "{word} belongs to no option": "{word} não pertence a nenhuma opção",
    "the entity comes first": "a entidade vem primeiro",
    "the backend (PNCP_SYNC_URL; not set: the one that ./pncp runs here)": (
        "o backend (PNCP_SYNC_URL; sem ela: o que o ./pncp roda aqui)"
    ),
    "the API's answer, for programs": "a resposta da API, para programas",
    "the execution": "a execução",
    "the executions": "as execuções",
    "all that are under way": "todas as que estão em andamento",
    "all of this resource that are under way": "todas as deste recurso que estão em andamento",
    "show its progress to the end; exit code 0 if it succeeded, else 1": (
        "mostra o andamento até o fim; código de saída 0 se deu certo, senão 1"
    ),
    "what has changed since the last update": "o que mudou desde a última atualização",
    "an interval, ends included: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, Brasília's time": (
        "um intervalo, com os extremos: AAAA-MM-DD ou AAAA-MM-DDTHH:MM:SS, horário de Brasília"
    ),
    "of a backfill: what was published in the interval (publicacao, unless the resource has none) or what "
    "changed in it": (
        "de um backfill: o que foi publicado no intervalo (publicacao, se o recurso a tem) ou o que mudou nele"
    ),
    "what to read ({resource}); dominios: --update": "o que ler ({resource}); dominios: --update",
    "start nothing; say what it would come to": "não inicia nada; diz quanto custaria",
    "an execution; without it the newest": "uma execução; sem ela a mais nova",
    "the newest execution of this resource": "a execução mais nova deste recurso",
    "those of this resource only": "só as deste recurso",
    "those of this kind only": "só as deste tipo",
    "who asked: api, message, schedule, sweep, gap, goal, retry": (
        "quem pediu: api, message, schedule, sweep, gap, goal, retry"
    ),
    "how many, 500 at most (20)": "quantas, no máximo 500 (20)",
    "the first day (30 days before the last)": "o primeiro dia (30 dias antes do último)",
    "the last day, included (today)": "o último dia, incluído (hoje)",
    "of what ({resource})": "de quê ({resource})",
    "of this level and above": "deste nível para cima",
    "how many lines (1000; with --follow all)": "quantas linhas (1000; com --follow todas)",
    "go on until the execution ends": "continua até a execução terminar",
    "which slices to list (error)": "que fatias listar (error)",
    "whose token (PNCP_SYNC_USERNAME, or admin)": "o token de quem (PNCP_SYNC_USERNAME, ou admin)",
    "since when each resource is kept complete, and what is left to read": (
        "desde quando cada recurso é mantido completo, e o que falta ler"
    ),
    "what a goal would come to; changes nothing": "quanto custaria uma meta; não muda nada",
    "keep a resource complete from a day on": "mantém um recurso completo desde um dia",
    "no goal for a resource": "nenhuma meta para um recurso",
    "read nothing for a goal until it is resumed": "não lê nada por uma meta até que ela seja retomada",
    "go on with a goal": "retoma uma meta",
    "the first day that is kept complete": "o primeiro dia que é mantido completo",
    "why, for those who come later": "por quê, para quem vier depois",
    "update, sweep, contratos.update, ...": "update, sweep, contratos.update, ...",
    "five fields in one word, Brasília's time: '*/30 6-22 * * *'": (
        "cinco campos entre aspas, horário de Brasília: '*/30 6-22 * * *'"
    ),
    "what starts by itself, and when": "o que começa sozinho, e quando",
    "start nothing more by a schedule": "não inicia mais nada por uma agenda",
    "go on with a schedule": "retoma uma agenda",
    "change when a schedule starts something": "muda quando uma agenda começa",
    "back to the schedule of the settings": "volta à agenda da configuração",
    "its name, from ./pncp verdict": "o nome dele, em ./pncp verdict",
    "episodes of trouble, newest first": "episódios de problemas, do mais novo para o mais antigo",
    "send a message to every channel; exit code 1 if one fails": (
        "manda uma mensagem a cada canal; código de saída 1 se um falha"
    ),
    "acknowledge a trouble of the verdict until it changes": "dá ciência de um problema do veredito até que ele mude",
    "let an acknowledged trouble count again": "faz um problema com ciência contar de novo",
    "the saved search": "a busca salva",
    "saved searches, newest first": "buscas salvas, da mais nova para a mais antiga",
    "what the next message of a saved search would say": "o que diria a próxima mensagem de uma busca salva",
    "remove a saved search": "apaga uma busca salva",
    "a path of the page, such as '#/dados'": "um endereço da página, como '#/dados'",
    "only print the address": "só mostra o endereço",
    "print a systemd unit for this folder, and start nothing": (
        "mostra uma unidade do systemd para esta pasta, e não inicia nada"
    ),
    "a list of the API: contratacoes, contratos, itens, ...": "uma lista da API: contratacoes, contratos, itens, ...",
    "show the filters of the entity, and export nothing": "mostra os filtros da entidade, e não exporta nada",
    "csv, ndjson, xlsx, parquet or pdf; not given: as the ending of FILE says, else csv": (
        "csv, ndjson, xlsx, parquet ou pdf; sem ele: o do final do nome do arquivo, senão csv"
    ),
    "where to; - is standard output (a name of the backend's, here)": (
        "para onde; - é a saída padrão (um nome do backend, aqui)"
    ),
    "which fields, in this order, separated by commas (all but JSON)": (
        "que campos, nesta ordem, entre vírgulas (todos menos JSON)"
    ),
    "by which value, as in the API: valor, data_publicacao:asc": (
        "por que valor, como na API: valor, data_publicacao:asc"
    ),
    "csv as Excel opens it in Brazil: ; and decimal commas": "csv como o Excel o abre no Brasil: ; e vírgula decimal",
    "CPFs as they are; for administrators": "CPFs como são; para administradores",
    "answers recorded from the portal instead of generated ones": "respostas gravadas do portal em vez de inventadas",
    "days of generated data, today the last (10)": "dias de dados inventados, hoje o último (10)",
    "contratações generated per day (60)": "contratações inventadas por dia (60)",
    "share of the simulator's answers that fail, 0 to 1": "parte das respostas do simulador que falha, de 0 a 1",
    "another seed generates other data": "outra semente inventa outros dados",
    "start everything but no sync": "inicia tudo, menos a sincronização",
    "print the guided ten minutes, and start nothing": "mostra o roteiro de dez minutos, e não inicia nada",
    "a portal where nothing changes, and no schedule": "um portal onde nada muda, e nenhuma agenda",
    "stop after the first sync; exit code 0 if it succeeded, else 1": (
        "termina depois da primeira sincronização; código de saída 0 se deu certo, senão 1"
    ),
    "what all faults and requests are drawn from (1)": "de onde se sorteiam todas as falhas e pedidos (1)",
    "how long the storm lasts (600)": "quanto dura a tempestade (600)",
    "how many there are (2)": "quantos são (2)",
    "break the product on purpose: is it noticed?": "estraga o produto de propósito: alguém nota?",
    "keep the logs of a storm that broke nothing, too": "guarda também os logs de uma tempestade que nada quebrou",
    "ingest, api, scale, requests, files, deliver, intake (these), read": (
        "ingest, api, scale, requests, files, deliver, intake (estas), read"
    ),
    "small numbers, under two minutes": "números pequenos, menos de dois minutos",
    "for ingest (contratacoes)": "para ingest (contratacoes)",
    "records for ingest (1000 10000 100000), deliver": "registros para ingest (1000 10000 100000), deliver",
    "records of a weekday for ingest (5000)": "registros de um dia útil para ingest (5000)",
    "for ingest, one more run of PNCP Sync with each setting": (
        "para ingest, mais uma rodada do PNCP Sync com cada ajuste"
    ),
    "milliseconds for ingest (0 50 200), deliver": "milissegundos para ingest (0 50 200), deliver",
    "runs of each contender (3; of read and deliver 1)": "rodadas de cada concorrente (3; de read e deliver 1)",
    "rows for read (10000000)": "linhas para read (10000000)",
    "leave the database of read to the next run": "deixa o banco de read para a próxima rodada",
    "its file in CONNECTIONS_DIR, without the ending": "o seu arquivo em CONNECTIONS_DIR, sem a extensão",
    "how many, 200 at most (20)": "quantos, no máximo 200 (20)",
    "of a destination with several entities, this one only": "de um destino com várias entidades, só esta",
    "send nothing; show what would be sent": "não envia nada; mostra o que seria enviado",
    "also what the destination has already": "também o que o destino já tem",
    "again what the destination rejected": "de novo o que o destino recusou",
    "these records only": "só estes registros",
    "show its progress until it ends or is held; exit code 0 if it succeeded, else 1": (
        "mostra o andamento até o fim ou até ser retida; código de saída 0 se deu certo, senão 1"
    ),
    "the delivery": "a entrega",
    "those to this destination only": "só as deste destino",
    "the record's key; of several parts with / between them": "a chave do registro; as partes separadas por /",
    "destinations with their state, and what they are owed": "destinos, com o estado e o que lhes é devido",
    "deliveries, newest first": "entregas, da mais nova para a mais antiga",
    "one delivery with its streams": "uma entrega com os seus fluxos",
    "watch a delivery until it ends or is held": "acompanha uma entrega até o fim, ou até ser retida",
    "send what a delivery holds back": "envia o que uma entrega retém",
    "end a delivery; what was not sent is still owed": "encerra uma entrega; o que não foi enviado continua devido",
    "send nothing to a destination until it is resumed": "não envia nada a um destino até ser retomado",
    "send to a destination again": "volta a enviar a um destino",
    "send a destination one request without records": "envia a um destino um pedido sem registros",
    "records that a destination rejected, and why": "registros que um destino recusou, e por quê",
    "where a record went, when, and what was answered": "para onde foi um registro, quando, e o que se respondeu",
    # Heads of tables
    "CHANGE": "MUDANÇA",
    "WHEN (Brasília)": "QUANDO (Brasília)",
    "RECORD": "REGISTRO",
    "FIELDS": "CAMPOS",
    "ID": "ID",
    "STATUS": "SITUAÇÃO",
    "STATE": "ESTADO",
    "RESOURCE": "RECURSO",
    "MODE": "MODO",
    "TRIGGER": "ORIGEM",
    "ASKED FOR (Brasília)": "PEDIDA (Brasília)",
    "WINDOW": "JANELA",
    "WINDOW (Brasília)": "JANELA (Brasília)",
    "RECORDS": "REGISTROS",
    "REQUESTS": "PEDIDOS",
    "REQUESTS TO THE PORTAL": "PEDIDOS AO PORTAL",
    "TIME": "TEMPO",
    "TOOK": "DUROU",
    "ERROR": "ERRO",
    "SLICE": "FATIA",
    "MODALIDADE": "MODALIDADE",
    "PAGES": "PÁGINAS",
    "TRIES": "TENTATIVAS",
    "REJECTED": "RECUSADOS",
    "OF": "DE",
    "LAST SEEN (Brasília)": "VISTO POR ÚLTIMO (Brasília)",
    "REASON": "MOTIVO",
    "FACT": "FATO",
    "WHAT": "O QUÊ",
    "SINCE (Brasília)": "DESDE (Brasília)",
    "UNTIL (Brasília)": "ATÉ (Brasília)",
    "TO DO": "O QUE FAZER",
    "FRESH": "EM DIA",
    "COMPLETE": "COMPLETO",
    "COMPLETE DAYS": "DIAS COMPLETOS",
    "COMPLETE FROM": "COMPLETO DESDE",
    "COMPLETE UNTIL": "COMPLETO ATÉ",
    "UPDATED UNTIL": "ATUALIZADO ATÉ",
    "DAYS": "DIAS",
    "MISSING": "FALTAM",
    "FAILED": "FALHARAM",
    "TROUBLE": "PROBLEMA",
    "TIMES": "VEZES",
    "LIST": "LISTA",
    "SCOPE": "ESCOPO",
    "OWED": "FALTAM",
    "OLDEST": "O MAIS ANTIGO",
    "SET ASIDE": "POSTOS DE LADO",
    "FROM": "DE",
    "TO": "ATÉ",
    "NEXT TO READ": "PRÓXIMO A LER",
    "LEFT": "RESTA",
    "SCHEDULE": "AGENDA",
    "CRON (Brasília)": "CRON (Brasília)",
    "NEXT (Brasília)": "PRÓXIMA (Brasília)",
    "LAST (Brasília)": "ÚLTIMA (Brasília)",
    "WHAT CAME OF IT": "O QUE HOUVE",
    "CHANNEL": "CANAL",
    "CHANNELS": "CANAIS",
    "KIND": "TIPO",
    "MESSAGES": "MENSAGENS",
    "NAME": "NOME",
    "DESTINATION": "DESTINO",
    "RECEIVES": "RECEBE",
    "LAST SUCCESS (Brasília)": "ÚLTIMO SUCESSO (Brasília)",
    "STREAM": "FLUXO",
    "ACCEPTED": "ACEITOS",
    "UNCHANGED": "SEM MUDANÇA",
    # States
    "what has changed": "o que mudou",
    "all that differs": "tudo o que difere",
    "everything": "tudo",
    "what was rejected": "o que foi recusado",
    "a request without records": "um pedido sem registros",
    "held back": "retida",
    "wants no more": "não quer mais receber",
    "its file is gone": "o arquivo sumiu",
    "its file has faults": "o arquivo tem erros",
    "owed": "devido",
    "sent": "enviado",
    "being sent": "sendo enviado",
    "ok": "bom",
    "attention": "atenção",
    "problem": "problema",
    "empty": "vazio",
    "fresh": "em dia",
    "complete": "completo",
    "healthy": "saudável",
    "partial": "em parte",
    "failed": "falhou",
    "rejected": "com recusados",
    "never": "nunca lido",
    "running": "em andamento",
    "success": "sucesso",
    "error": "erro",
    "pending": "pendente",
    "queued": "na fila",
    "waiting": "esperando",
    "finished": "terminada",
    "cancelled": "cancelada",
    "paused": "em pausa",
    "on": "ligada",
    "off": "desligada",
    "open": "aberto",
    "over": "encerrado",
    "delivered": "entregue",
    "update": "atualização",
    "backfill": "backfill",
    "reading": "lendo",
    "converting": "convertendo",
    "items": "itens",
    # What is shown
    "Brasília": "Brasília",
    "Since": "Desde",
    "in {time}": "em {time}",
    "{time} ago": "há {time}",
    "about {n}": "cerca de {n}",
    "about {time} left": "faltam cerca de {time}",
    "time left unknown": "tempo restante desconhecido",
    "{n} records": "{n} registros",
    "{n} days": "{n} dias",
    "{n} modalidades": "{n} modalidades",
    "{n} slices": "{n} fatias",
    "{n} slices of {resource}": "{n} fatias de {resource}",
    "{n} slices failed": "{n} fatias falharam",
    "queued: no ingestor has taken it yet": "na fila: nenhum ingestor a pegou ainda",
    "waiting for the portal, which failed": "esperando o portal, que falhou",
    "waits: {why}; tried again at {when}": "espera: {why}; nova tentativa às {when}",
    "the portal failed": "o portal falhou",
    "{error}; trying again": "{error}; tentando de novo",
    "nothing was started; it would become {slices} ({parts})": "nada foi iniciado; seriam {slices} ({parts})",
    "about {requests} requests and {records} records in {time}": (
        "cerca de {requests} pedidos e {records} registros em {time}"
    ),
    "as {n} executions, each of {days} days at most:": "em {n} execuções, cada uma de no máximo {days} dias:",
    "execution {id}": "execução {id}",
    "execution {id}: {mode} by {criterio}": "execução {id}: {mode} por {criterio}",
    "execution {id}: {mode} of {resource} by {criterio}": "execução {id}: {mode} de {resource} por {criterio}",
    "execution {id} has begun; to watch it: ./pncp status {id} --watch": (
        "a execução {id} começou; para acompanhar: ./pncp status {id} --watch"
    ),
    "execution {id} is cancelled; what was stored stays": "a execução {id} foi cancelada; o que foi gravado fica",
    "{n} executions are cancelled; what was stored stays": "{n} execuções foram canceladas; o que foi gravado fica",
    "{n} more are under way": "há mais {n} em andamento",
    "{n} executions repeat what failed: {ids}": "{n} execuções repetem o que falhou: {ids}",
    "nothing has failed that can be repeated": "não há falha que se possa repetir",
    "no longer watching; execution {id} goes on. To stop it: ./pncp cancel {id}": (
        "fim do acompanhamento; a execução {id} continua. Para cancelá-la: ./pncp cancel {id}"
    ),
    "nothing has been synchronised yet": "nada foi sincronizado ainda",
    "nothing of {resource} has been synchronised yet": "nada de {resource} foi sincronizado ainda",
    "window": "janela",
    "asked for": "pedida",
    "progress": "andamento",
    "records": "registros",
    "duration": "duração",
    "{done} of {total} slices, {failed} failed": "{done} de {total} fatias, {failed} falharam",
    "{done} of {total} slices": "{done} de {total} fatias",
    "{processed} processed, {inserted} new, {updated} updated, {rejected} rejected": (
        "{processed} processados, {inserted} novos, {updated} alterados, {rejected} recusados"
    ),
    "to go on with what is left: ./pncp retry {id}": "para continuar com o que resta: ./pncp retry {id}",
    "to repeat what failed: ./pncp retry {id}": "para repetir o que falhou: ./pncp retry {id}",
    "{total} in all: {success} success, {error} error, {running} running": (
        "{total} ao todo: {success} com sucesso, {error} com erro, {running} em andamento"
    ),
    "Acknowledged by {name}, {when} (Brasília).": "Ciência de {name}, {when} (Brasília).",
    "trouble {id} is acknowledged until it changes": "ciência do problema {id}, até que ele mude",
    "trouble {id} counts again": "o problema {id} conta de novo",
    "{n} open; channels: {channels}": "{n} abertos; canais: {channels}",
    "none: set ALERT_EMAIL_TO or ALERT_WEBHOOK_URL": "nenhum: defina ALERT_EMAIL_TO ou ALERT_WEBHOOK_URL",
    "paused by {name}, {when} (Brasília)": "em pausa por {name}, {when} (Brasília)",
    "off: SCHEDULE_ENABLED": "desligada: SCHEDULE_ENABLED",
    "no goal": "sem meta",
    "waiting for its turn": "espera a sua vez",
    "{resource} is kept complete from {day} on": "{resource} é mantido completo desde {day}",
    "{resource} has no goal; what is stored stays": "{resource} fica sem meta; o que foi gravado fica",
    "the goal of {resource} is paused": "a meta de {resource} está em pausa",
    "the goal of {resource} goes on": "a meta de {resource} continua",
    "{days} days to read, {slices} slices, about {requests} requests, {time}, {size} MB": (
        "{days} dias por ler, {slices} fatias, cerca de {requests} pedidos, {time}, {size} MB"
    ),
    "search {id} is removed": "a busca {id} foi apagada",
    "{n} rows in {file}": "{n} linhas em {file}",
    "{n} of {all} rows": "{n} de {all} linhas",
    "interrupted; there is no file": "interrompido; não há arquivo",
    "there is no entity {name}": "não existe a entidade {name}",
    "export {id}: {error}": "exportação {id}: {error}",
    "the file changed while it was copied": "o arquivo mudou enquanto era copiado",
    "{file} cannot be written: {error}": "não foi possível gravar {file}: {error}",
    "its changes are read up to {moment} (Brasília)": "as mudanças foram lidas até {moment} (Brasília)",
    "not kept up to date": "não é mantido em dia",
    "the mirror is complete for this; {until}": "o espelho está completo para isto; {until}",
    "the mirror is NOT complete for this: {faults}; {until}": (
        "o espelho NÃO está completo para isto: {faults}; {until}"
    ),
    "no day has been read whole": "nenhum dia foi lido inteiro",
    "{n} days are not proved complete": "{n} dias sem prova de que estão completos",
    "{n} records are rejected": "{n} registros recusados",
    "{n} lists are still to be read": "{n} listas ainda por ler",
    "only what is in scope: {scope}": "só o que está no escopo: {scope}",
    "a search does not find all texts yet": "uma busca ainda não encontra todos os textos",
    "{name} does not receive {entity}; it receives: {entities}": "{name} não recebe {entity}; recebe: {entities}",
    "delivery {id} has begun; to watch it: ./pncp deliveries watch {id}": (
        "a entrega {id} começou; para acompanhar: ./pncp deliveries watch {id}"
    ),
    "no longer watching; delivery {id} goes on. To stop it: ./pncp deliveries cancel {id}": (
        "fim do acompanhamento; a entrega {id} continua. Para cancelá-la: ./pncp deliveries cancel {id}"
    ),
    "delivery {id} is confirmed, and goes on": "a entrega {id} foi confirmada, e continua",
    "delivery {id} is cancelled; what was sent stays sent, the rest is still owed": (
        "a entrega {id} foi cancelada; o que foi enviado fica enviado, o resto continua devido"
    ),
    "{n} in all": "{n} ao todo",
    "no courier runs, so nothing is sent": "nenhum processo de entregas está no ar; nada é enviado",
    "after updates": "depois de atualizações",
    "{state}, {time}: {why}": "{state}, {time}: {why}",
    "nothing was sent; {name} would receive:": "nada foi enviado; {name} receberia:",
    "{name}: to count what is owed takes longer than 5 s": "{name}: contar o que é devido leva mais de 5 s",
    "{name}: {owed} records are owed": "{name}: {owed} registros devidos",
    "delivery {id} to {name}, {mode}: ": "entrega {id} a {name}, {mode}: ",
    "delivery {id} to {name}": "entrega {id} a {name}",
    "{accepted} accepted, {rejected} rejected, {unchanged} unchanged, {requests} requests": (
        "{accepted} aceitos, {rejected} recusados, {unchanged} sem mudança, {requests} pedidos"
    ),
    "{accepted} accepted, {rejected} rejected, {requests} requests": (
        "{accepted} aceitos, {rejected} recusados, {requests} pedidos"
    ),
    "what was rejected, and why: ./pncp deliveries rejected {name}": (
        "o que foi recusado, e por quê: ./pncp deliveries rejected {name}"
    ),
    "it waits for a person: the destination refused nearly everything, so its contract may have changed": (
        "espera por uma pessoa: o destino recusou quase tudo, talvez porque mudou o que ele aceita"
    ),
    "it waits for a person: {n} records are owed, more than hold_above permits": (
        "espera por uma pessoa: são devidos {n} registros, mais do que hold_above permite"
    ),
    "to send it: ./pncp deliveries confirm {id}; not to: ./pncp deliveries cancel {id}": (
        "para enviar: ./pncp deliveries confirm {id}; para não enviar: ./pncp deliveries cancel {id}"
    ),
    "no destination has received {key}": "nenhum destino recebeu {key}",
    "request {batch} of delivery {job}: {n} records, status {status}": (
        "pedido {batch} da entrega {job}: {n} registros, status {status}"
    ),
    "queued: no courier has taken it yet": "na fila: nenhum processo de entregas a pegou ainda",
    "waiting for the destination, which failed": "esperando o destino, que falhou",
    # Files of connections
    ", from {networks}": ", de {networks}",
    "client": "cliente",
    "entity": "entidade",
    "layout": "layout",
    "source": "fonte",
    ", the view {name}": ", a visão {name}",
    "by {key}": "por {key}",
    "{column} refers to {entity}": "{column} se refere a {entity}",
    ", changes {schedule}": ", mudanças {schedule}",
    ", changes by {column}": ", mudanças por {column}",
    "a query": "uma consulta",
    ", after each update": ", depois de cada atualização",
    ", start {start}": ", início {start}",
    "{n} records a request": "{n} registros por pedido",
    "missing: {what}": "falta: {what}",
    "no faults; entities: {entities}, layouts: {layouts}, sources: {sources}, destinations: {destinations}, clients: {clients}": (  # noqa: E501  # as in the code
        "sem erros; entidades: {entities}, layouts: {layouts}, fontes: {sources}, destinos: {destinations}, "
        "clientes: {clients}"
    ),
    # What comes in
    "take in a spreadsheet: FILE --layout NAME or --entity NAME": (
        "importa uma planilha: FILE --layout NAME ou --entity NAME"
    ),
    "what has come in, and what became of it: list, show, confirm, discard": (
        "o que entrou, e o que foi feito dele: lista, mostra, confirma, descarta"
    ),
    "a spreadsheet: xlsx, ods, xls or csv": "uma planilha: xlsx, ods, xls ou csv",
    "how a row becomes records: a file of layouts/": "como uma linha vira registros: um arquivo de layouts/",
    "rows are records of this entity: compras, produtos, ...": (
        "as linhas são registros desta entidade: compras, produtos, ..."
    ),
    "take nothing in; show what the rows would do": "não importa nada; mostra o que as linhas fariam",
    "do not ask before the rows are taken in": "não pergunta antes de importar as linhas",
    "even if this file was imported before": "mesmo que este arquivo já tenha sido importado",
    "an import; without it all of them": "uma importação; sem isso todas",
    "those of this layout or entity only": "só as deste layout ou entidade",
    "those in this state only": "só as neste estado",
    "take in what an import holds back, and watch it": "importa o que uma importação segura, e acompanha",
    "end an import; what was taken in stays": "encerra uma importação; o que já foi importado fica",
    "show its progress until it ends or is held back": "acompanha até que termine ou espere confirmação",
    "write what is wrong with its rows into this CSV": "grava neste CSV o que há de errado com as linhas",
    "there is no file {file}": "não há o arquivo {file}",
    "{file} cannot be read: {error}": "{file} não pode ser lido: {error}",
    "no longer watching; import {id} stays as it is: ./pncp imports {id}": (
        "fim do acompanhamento; a importação {id} fica como está: ./pncp imports {id}"
    ),
    "nothing was taken in": "nada foi importado",
    "import {id} waits: ./pncp imports {id} --confirm takes it in, --discard does not": (
        "a importação {id} espera: ./pncp imports {id} --confirm importa, --discard descarta"
    ),
    "Take in {n} records? [y/N] ": "Importar {n} registros? [s/N] ",
    "what is wrong with the rows is in {file}": "o que há de errado com as linhas está em {file}",
    "import {id} is discarded": "a importação {id} foi descartada",
    "say which import: ./pncp imports ID {option}": "diga qual importação: ./pncp imports ID {option}",
    "import {id} of {layout}: ": "importação {id} de {layout}: ",
    "import {id} of {layout}": "importação {id} de {layout}",
    "from": "de",
    "{created} created, {changed} changed, {unchanged} unchanged, {rejected} rejected": (
        "{created} criados, {changed} mudados, {unchanged} sem mudança, {rejected} recusados"
    ),
    "{pending} not yet processed": "{pending} ainda por processar",
    "to take it in: ./pncp imports {id} --confirm; not to: --discard": (
        "para importar: ./pncp imports {id} --confirm; para não importar: --discard"
    ),
    "records that changed after the preview that was confirmed: {count}": (
        "registros que mudaram depois da prévia que foi confirmada: {count}"
    ),
    "columns that are not taken in: {names}": "colunas que não são importadas: {names}",
    "{n} of {all} records": "{n} de {all} registros",
    "queued: no worker that takes in has taken it yet": "na fila: nenhum processo de entradas a pegou ainda",
    "the file is being read": "o arquivo está sendo lido",
    "being received": "chegando",
    "being read": "em leitura",
    "processing": "em processamento",
    "done": "pronta",
    "refused": "recusada",
    "discarded": "descartada",
    "JSON": "JSON",
    "file": "arquivo",
    "folder": "pasta",
    "page": "página",
    "database": "banco de dados",
    "LAYOUT": "LAYOUT",
    "CAME (Brasília)": "CHEGOU (Brasília)",
    "PROCESSED": "PROCESSADAS",
    "WAITING": "ESPERAM",
    "ENTITY": "ENTIDADE",
    "NEW": "NOVOS",
    "CHANGED": "MUDADOS",
    "ROW": "LINHA",
    "COLUMN": "COLUNA",
    "VALUE": "VALOR",
    "those that came this way": "só as que vieram por aqui",
    "{id} is no delivery; what comes in: ./pncp imports, ./pncp sources": (
        "{id} não é uma entrega; o que entra: ./pncp imports, ./pncp sources"
    ),
    # Databases of others
    "databases of others that are read: list, confirm, pause, resume": (
        "bancos de outros sistemas que são lidos: lista, confirma, pausa, retoma"
    ),
    "read a database of others: all rows, or what has changed": (
        "lê o banco de outro sistema: todas as linhas, ou o que mudou"
    ),
    "databases of others with their state": "bancos de outros sistemas e o seu estado",
    "remove here what a reading no longer found": "remove aqui o que uma leitura não encontrou mais",
    "end the reading under way; what was read stays": "encerra a leitura em andamento; o que foi lido fica",
    "read nothing from a source until it is resumed": "não lê nada de uma fonte até que seja retomada",
    "read from a source again": "volta a ler uma fonte",
    "only what has changed since the last reading": "só o que mudou desde a última leitura",
    "no reading of {name} is under way": "nenhuma leitura de {name} está em andamento",
    "the reading is cancelled; what was read stays": "a leitura foi cancelada; o que foi lido fica",
    "reading {id} of {name} has begun": "a leitura {id} de {name} começou",
    "no longer watching; reading {id} goes on": "fim do acompanhamento; a leitura {id} continua",
    "no worker that takes in runs, so nothing is read": "nenhum processo de entradas está no ar; nada é lido",
    "all rows": "todas as linhas",
    "reading {id} of {name}, {mode}: ": "leitura {id} de {name}, {mode}: ",
    "reading {id} of {name}": "leitura {id} de {name}",
    "{n} rows are read": "{n} linhas lidas",
    "waiting for the source, which failed": "esperando a fonte, que falhou",
    "it waits for a person: {n} records are gone from the source": (
        "espera por uma pessoa: {n} registros sumiram da fonte"
    ),
    "to remove them here: ./pncp sources confirm {name}; not to: ./pncp sources cancel {name}": (
        "para removê-los aqui: ./pncp sources confirm {name}; para não: ./pncp sources cancel {name}"
    ),
    "what was rejected, and why: ./pncp imports --door sql": (
        "o que foi recusado, e por quê: ./pncp imports --door sql"
    ),
    "SOURCE": "FONTE",
    "READS": "LÊ",
    "READ": "LIDAS",
    # The backend that is asked
    "nothing answers at {url}: start ./pncp up or demo, or name another backend by --url": (
        "nada responde em {url}: inicie ./pncp up ou demo, ou indique outro backend com --url"
    ),
    "{url} did not answer ({error})": "{url} não respondeu ({error})",
    "look at ./pncp history before you repeat it": "olhe ./pncp history antes de repetir",
    "{url} is no URL: expected one such as https://pncp.example.org": (
        "{url} não é uma URL: espera-se uma como https://pncp.example.org"
    ),
    "{url} is not PNCP Sync's API: its answer is no JSON object": (
        "{url} não é a API do PNCP Sync: a resposta não é um objeto JSON"
    ),
    "this backend asks for a user and a password": "este backend pede usuário e senha",
    "This backend asks for a user and a password.": "Este backend pede usuário e senha.",
    "wrong user or password": "usuário ou senha incorretos",
    "set PNCP_SYNC_USERNAME and PNCP_SYNC_PASSWORD": "defina PNCP_SYNC_USERNAME e PNCP_SYNC_PASSWORD",
    "user: ": "usuário: ",
    "password: ": "senha: ",
    "password of {name}: ": "senha de {name}: ",
    # The start
    "not done": "não feito",
    "stopped": "interrompido",
    "making .venv with Python {version}": "criando .venv com Python {version}",
    "installing the packages of {file}": "instalando os pacotes de {file}",
    "waiting for another ./pncp that is installing": "esperando outro ./pncp que está instalando",
    "(uv could not: {why}; trying pip) ": "(o uv não conseguiu: {why}; tentando o pip) ",
    "this Python {version} cannot make virtual environments. On Debian or Ubuntu: apt-get install python{version}-venv; or install uv (https://docs.astral.sh/uv/), which does without": (  # noqa: E501  # as in the code
        "este Python {version} não cria ambientes virtuais. No Debian ou Ubuntu: apt-get install python{version}-venv; "
        "ou instale o uv (https://docs.astral.sh/uv/), que não precisa dele"
    ),
    "{name} is set, and so is {name}_FILE; only one of them can count": (
        "{name} e {name}_FILE estão definidas; só uma delas pode valer"
    ),
    "{name}_FILE names a file that cannot be read": "{name}_FILE indica um arquivo que não pode ser lido",
    "no free port from {first} to {last} on {host}: set BACKEND_PORT": (
        "nenhuma porta livre de {first} a {last} em {host}: defina BACKEND_PORT"
    ),
    "BACKEND_PORT is {given}: expected a number from 1 to 65535": (
        "BACKEND_PORT é {given}: espera-se um número de 1 a 65535"
    ),
    "port {port} of {host} (BACKEND_PORT) is busy": "a porta {port} de {host} (BACKEND_PORT) está ocupada",
    "held by {name}, process {pid}": "por {name}, processo {pid}",
    "port {busy} is busy; the backend takes {port} instead": "a porta {busy} está ocupada; o backend usa {port}",
    "{folder} is in use by process {pid}: stop that one first": (
        "{folder} está em uso pelo processo {pid}: encerre-o primeiro"
    ),
    "no connection to the database {url}: {error}": "sem conexão com o banco {url}: {error}",
    "there is no database yet: start ./pncp up or demo, or set DATABASE_URL": (
        "ainda não há banco: inicie ./pncp up ou demo, ou defina DATABASE_URL"
    ),
    "{program} cannot be run: {error}": "{program} não pode ser executado: {error}",
    "the database {url} holds demonstration data (./pncp demo filled it); set DATABASE_URL to another one, or drop and create this one": (  # noqa: E501  # as in the code
        "o banco {url} tem dados de demonstração (do ./pncp demo); defina DATABASE_URL com outro, "
        "ou apague e recrie este"
    ),
    "the database {url} holds executions that no demonstration made: real data, among which a demonstration's must not get. Unset DATABASE_URL, or set it to an empty database": (  # noqa: E501  # as in the code
        "o banco {url} tem execuções que nenhuma demonstração fez: dados reais, com os quais os de uma demonstração "
        "não podem se misturar. Retire DATABASE_URL, ou defina-a com um banco vazio"
    ),
    "PostgreSQL: DATABASE_URL, {url}": "PostgreSQL: DATABASE_URL, {url}",
    "PostgreSQL: embedded, its data in {folder}": "PostgreSQL: embutido, dados em {folder}",
    "broker: {url}": "broker: {url}",
    "none, the ingestor polls the database": "nenhum, o ingestor consulta o banco",
    "migrations": "migrações",
    "backend": "backend",
    "ingestor": "ingestor",
    "simulated portal, with invented data": "portal simulado, com dados inventados",
    "simulated portal, with recorded data": "portal simulado, com dados gravados",
    "{name}={value}, from the environment, instead of {ours}": "{name}={value}, do ambiente, em vez de {ours}",
    "portal {url}: answers": "portal {url}: responde",
    "portal {url}: cannot be reached ({why}); it is tried again by itself": (
        "portal {url}: fora de alcance ({why}); novas tentativas automáticas"
    ),
    "portal {url}: refuses (status {status}); some networks are blocked. It is tried again by itself": (
        "portal {url}: recusa (status {status}); algumas redes são bloqueadas. Novas tentativas automáticas"
    ),
    "ready after {seconds} s: {url}/ (page), {url}/docs, {url}/health": (
        "pronto em {seconds} s: {url}/ (página), {url}/docs, {url}/health"
    ),
    "logs in {folder}; Ctrl-C stops everything, the data stays": (
        "registros em {folder}; Ctrl-C encerra tudo, os dados ficam"
    ),
    "an update starts every 15 minutes by itself. What to do next:": (
        "uma atualização começa sozinha a cada 15 minutos. O que fazer agora:"
    ),
    "./pncp goals set contratacoes {day}   to keep all since that day complete": (
        "./pncp goals set contratacoes {day}   para manter completo tudo desde esse dia"
    ),
    "./pncp verdict   says whether the mirror is fresh, complete and healthy": (
        "./pncp verdict   diz se o espelho está em dia, completo e saudável"
    ),
    "./pncp up --systemd   prints a unit that starts this with the machine": (
        "./pncp up --systemd   mostra uma unidade que inicia isto com a máquina"
    ),
    "the page is at {url}": "a página está em {url}",
    "stopping {name}": "encerrando {name}",
    "stopping; Ctrl-C again ends everything at once": "encerrando; outro Ctrl-C termina tudo na hora",
    "{name} did not end within {seconds} s: killed": "{name} não terminou em {seconds} s: encerrado à força",
    "{name} has ended; the end of {log}:": "{name} terminou; o fim de {log}:",
    "{name} has ended ({how}); it is started again in {seconds} s; see {log}": (
        "{name} terminou ({how}); começa de novo em {seconds} s; veja {log}"
    ),
    "{name} has ended {n} times in a row; the end of {log}:": "{name} terminou {n} vezes seguidas; o fim de {log}:",
    "{name} failed; the end of {log}:": "{name} falhou; o fim de {log}:",
    "{name} was not ready within {seconds} s; the end of {log}:": (
        "{name} não ficou pronto em {seconds} s; o fim de {log}:"
    ),
    "the port of the database is taken by another program": "a porta do banco está ocupada por outro programa",
    "exit code {n}": "código de saída {n}",
    "signal {n}": "sinal {n}",
    "{name} is {folder}, which is no folder": "{name} é {folder}, que não é uma pasta",
    "courier: deliveries and intake by the files in {folder}": (
        "courier: entregas e entradas, pelos arquivos em {folder}"
    ),
    # The demonstration
    "receiver of deliveries, which fails now and then": "receptor de entregas, que falha de vez em quando",
    "{name} was not ready; see {log}": "{name} não ficou pronto; veja {log}",
    "({n} contratações from {first} to {last})": "({n} contratações de {first} a {last})",
    "- {day}, of which the portal refuses a part, so that there is something to repair:": (
        "- {day}, de que o portal recusa uma parte, para haver o que reparar:"
    ),
    "- first sync of {resources}: {first} to {last}": "- primeira sincronização de {resources}: {first} a {last}",
    "- no first sync: it would need ADMIN_PASSWORD, and only ADMIN_PASSWORD_HASH is set. Start one:": (
        "- sem primeira sincronização: ela precisa de ADMIN_PASSWORD, e só há ADMIN_PASSWORD_HASH. Inicie uma:"
    ),
    "with ADMIN_PASSWORD_HASH alone the first sync cannot be asked for: set ADMIN_PASSWORD too": (
        "só com ADMIN_PASSWORD_HASH não se pode pedir a primeira sincronização: defina também ADMIN_PASSWORD"
    ),
    "- an earlier start left execution {id} unfinished; it goes on": (
        "- um início anterior deixou a execução {id} inacabada; ela continua"
    ),
    "- the first sync of {resource} is finished already; asking for an update": (
        "- a primeira sincronização de {resource} já terminou; pedindo uma atualização"
    ),
    "the backend did not answer {request}: {error}": "o backend não respondeu a {request}: {error}",
    "the backend answered {request} with {said}": "o backend respondeu a {request} com {said}",
    "{status} after {seconds} s": "{status} em {seconds} s",
    "lists that are read after their records": "listas que se leem depois dos registros",
    "in the database:": "no banco:",
    "the first sync is done": "a primeira sincronização terminou",
    "no demonstration runs here: start ./pncp demo, which prints the guide, too": (
        "nenhuma demonstração roda aqui: inicie ./pncp demo, que também mostra o roteiro"
    ),
    "Ten minutes, in another terminal in this folder (the page is at {url}):": (
        "Dez minutos, em outro terminal nesta pasta (a página está em {url}):"
    ),
    "Ask for the verdict": "Peça o veredito",
    "One day of contratações has failed, and the verdict says what to enter (its exit code is 1).": (
        "Um dia de contratações falhou, e o veredito diz o que digitar (o código de saída é 1)."
    ),
    "Repair the day, and keep all days": "Repare o dia, e mantenha todos",
    "After some seconds every closed day is complete.": "Depois de alguns segundos todo dia encerrado está completo.",
    "Watch an update bring new records": "Veja uma atualização trazer registros novos",
    "The portal publishes some records a minute; an update that starts each minute by itself brings them.": (
        "O portal publica alguns registros por minuto; uma atualização que começa sozinha a cada minuto os traz."
    ),
    "See a record change": "Veja um registro mudar",
    "Which records have changed, when, and in which fields.": "Que registros mudaram, quando, e em que campos.",
    "Make the portal fail for a minute": "Faça o portal falhar por um minuto",
    "Within a minute the verdict says that the portal fails; after the last command it recovers by itself.": (
        "Em até um minuto o veredito diz que o portal falha; depois do último comando ele se recupera sozinho."
    ),
    "Export to Excel": "Exporte para o Excel",
    "The file opens in Excel; the last line says whether the mirror is complete for it.": (
        "O arquivo abre no Excel; a última linha diz se o espelho está completo para ele."
    ),
    "Deliver to another system": "Entregue a outro sistema",
    "{url}/ shows what has arrived. docs/delivery.md goes on from here.": (
        "{url}/ mostra o que chegou. docs/delivery.md continua daqui."
    ),
    "Take a sheet in": "Importe uma planilha",
    "Within 15 s its rows are customers, products and purchases; the page shows them under Cadastros.": (
        "Em até 15 s as linhas são clientes, produtos e compras; a página os mostra em Cadastros."
    ),
    "Push the same rows as JSON": "Envie as mesmas linhas em JSON",
    "Nothing is there twice: all rows are unchanged. With authentication it takes a client's token.": (
        "Nada fica em dobro: nenhuma linha muda nada. Com autenticação é preciso o token de um cliente."
    ),
    "Break a row": "Estrague uma linha",
    "Three cells are wrong; the reasons stand in a .erros.csv beside the sheet (the exit code is 3).": (
        "Três células estão erradas; os motivos ficam em um .erros.csv ao lado da planilha (o código de saída é 3)."
    ),
    "Read another system's database": "Leia o banco de outro sistema",
    "The purchases of an ERP, which is a file of SQLite here; docs/sources.md tells of others.": (
        "As compras de um ERP, que aqui é um arquivo do SQLite; docs/sources.md trata dos outros."
    ),
    "Compare one's own purchases with the portal": "Compare as compras próprias com o portal",
    "{url} shows it, too. docs/intake.md lists the differences that were planted.": (
        "{url} também mostra. docs/intake.md lista as diferenças plantadas."
    ),
}
