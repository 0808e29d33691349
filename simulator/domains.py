"""The portal's domain tables, and the words of which invented records are made."""

from typing import Final, NamedTuple

MODALIDADES: Final = {
    1: "Leilão - Eletrônico",
    2: "Diálogo Competitivo",
    3: "Concurso",
    4: "Concorrência - Eletrônica",
    5: "Concorrência - Presencial",
    6: "Pregão - Eletrônico",
    7: "Pregão - Presencial",
    8: "Dispensa",
    9: "Inexigibilidade",
    10: "Manifestação de Interesse",
    11: "Pré-qualificação",
    12: "Credenciamento",
    13: "Leilão - Presencial",
    14: "Inaplicabilidade da Licitação",
    15: "Chamada pública",
    16: "Concorrência - Eletrônica Internacional",
    17: "Concorrência - Presencial Internacional",
    18: "Pregão - Eletrônico Internacional",
    19: "Pregão - Presencial Internacional",
}

# Contratações published on 2025-07-10, a Thursday, by modalidade; 2, 3 and 14..19 had none, and get a little so that
# they occur.
WEIGHTS: Final = {
    1: 8,
    2: 1,
    3: 1,
    4: 223,
    5: 17,
    6: 1802,
    7: 63,
    8: 3030,
    9: 1244,
    10: 1,
    11: 5,
    12: 105,
    13: 1,
    14: 6,
    15: 6,
    16: 6,
    17: 6,
    18: 6,
    19: 6,
}

MODOS_DISPUTA: Final = {
    1: "Aberto",
    2: "Fechado",
    3: "Aberto-Fechado",
    4: "Dispensa Com Disputa",
    5: "Não se aplica",
    6: "Fechado-Aberto",
}
INSTRUMENTOS: Final = {1: "Edital", 2: "Aviso de Contratação Direta", 3: "Ato que autoriza a Contratação Direta"}
SITUACOES: Final = {1: "Divulgada no PNCP", 2: "Revogada", 3: "Anulada", 4: "Suspensa"}
SITUACOES_ITEM: Final = {
    1: "Em andamento",
    2: "Homologado",
    3: "Anulado/Revogado/Cancelado",
    4: "Deserto",
    5: "Fracassado",
}
CRITERIOS_JULGAMENTO: Final = {
    1: "Menor preço",
    2: "Maior desconto",
    4: "Técnica e preço",
    5: "Maior lance",
    6: "Maior retorno econômico",
    7: "Não se aplica",
    8: "Melhor técnica",
    9: "Conteúdo artístico",
}
BENEFICIOS: Final = {
    1: "Participação exclusiva para ME/EPP",
    2: "Subcontratação para ME/EPP",
    3: "Cota reservada para ME/EPP",
    4: "Sem benefício",
    5: "Não se aplica",
}
CATEGORIAS_ITEM: Final = {1: "Bens imóveis", 2: "Bens móveis", 3: "Não se aplica"}
FONTES: Final = {2: "Municipal", 3: "Estadual", 4: "Federal"}
SITUACOES_RESULTADO: Final = {1: "Informado", 2: "Cancelado"}
RESERVAS: Final = {1: "Não se aplica", 2: "Remanescente", 3: "Cadastro de Reserva"}
PORTES: Final = {1: "ME", 2: "EPP", 3: "Demais", 4: "Não se aplica", 5: "Não informado"}
NATUREZAS_JURIDICAS: Final = {
    "0000": "Natureza Jurídica não informada",
    "2062": "Sociedade Empresária Limitada",
    "2135": "Empresário (Individual)",
    "2305": "Empresa Individual de Responsabilidade Limitada (de Natureza Empresária)",
}
TIPOS_DOCUMENTO: Final = {
    1: "Aviso de Contratação Direta",
    2: "Edital",
    3: "Minuta do Contrato",
    4: "Termo de Referência",
    5: "Anteprojeto",
    6: "Projeto Básico",
    7: "Estudo Técnico Preliminar",
    8: "Projeto Executivo",
    9: "Mapa de Riscos",
    10: "DFD",
    11: "Ata de Registro de Preço",
    12: "Contrato",
    13: "Termo de Rescisão",
    14: "Termo Aditivo",
    15: "Termo de Apostilamento",
    16: "Outros Documentos",
    17: "Nota de Empenho",
    18: "Relatório Final de Contrato",
    19: "Minuta de Ata de Registro de Preços",
    20: "Ato que autoriza a Contratação Direta",
}
TIPOS_LOG: Final = {0: "Inclusão", 1: "Retificação", 2: "Exclusão"}
CATEGORIAS_LOG: Final = {
    1: "Contratação",
    3: "Contrato",
    4: "Item de Contratação",
    5: "Resultado de Item de Contratação",
    6: "Documento de Contratação",
    8: "Documento de Contrato",
    9: "Termo de Contrato",
}
TIPOS_TERMO: Final = {1: "Termo de Rescisão", 2: "Termo Aditivo", 3: "Termo de Apostilamento"}
TIPOS_INSTRUMENTO_COBRANCA: Final = {1: "Nota Fiscal Eletrônica (NF-e)"}
CATEGORIAS_ITEM_PCA: Final = {
    1: "Material",
    2: "Serviço",
    3: "Obras",
    4: "Serviços de Engenharia",
    5: "Soluções de TIC",
    6: "Locação de Imóveis",
    7: "Alienação/Concessão/Permissão",
    8: "Obras e Serviços de Engenharia",
}
CATALOGOS: Final = {1: "CNBS (Catálogo do Compras.gov.br)", 2: "Outros"}
TIPOS_PARTE_ENVOLVIDA: Final = {1: "Órgão gerenciador", 2: "Órgão participante"}  # not recorded
TIPOS_AMPARO: Final = {
    1: (
        "Contratação",
        "Tipo de amparo legal que deverá ser usado na fundamentação legal da Contratação.",
    ),
    2: (
        "Margem de preferência",
        (
            "Tipo de amparo legal que deverá ser usado na fundamentação legal da aplicação da margem de preferência no "
            "resultado do item."
        ),
    ),
    3: (
        "Critério de desempate",
        (
            "Tipo de amparo legal que deverá ser usado na fundamentação legal da aplicação do critério de desempate no "
            "resultado do item."
        ),
    ),
}
DESEMPATE: Final = {
    "id": 146,
    "nome": "Lei 14.133/2021, art. 60, §1º, I",
    "descricao": "Critério de desempate: empresas estabelecidas no território do Estado ou do Distrito Federal do "
    "órgão licitante ou, em licitação de município, no território do Estado em que este se localize.",
    "statusAtivo": True,
}

# Those that invented contratações rest on, as records word them; `amparos.py` has the portal's whole table.
# The no-break space at the end of 2 is the portal's own.
AMPAROS: Final = {
    1: (
        "Lei 14.133/2021, Art. 28, I",
        "pregão: modalidade de licitação obrigatória para aquisição de bens e serviços comuns",
    ),
    2: (
        "Lei 14.133/2021, Art. 28, II\u00a0",
        (
            "concorrência: modalidade de licitação para contratação de bens e serviços especiais e de obras e "
            "serviços comuns e especiais de engenharia"
        ),
    ),
    3: (
        "Lei 14.133/2021, Art. 28, III",
        "concurso: modalidade de licitação para escolha de trabalho técnico, científico ou artístico",
    ),
    4: (
        "Lei 14.133/2021, Art. 28, IV",
        "leilão: modalidade de licitação para alienação de bens imóveis ou de bens móveis inservíveis",
    ),
    5: (
        "Lei 14.133/2021, Art. 28, V",
        "diálogo competitivo: modalidade de licitação para contratação de obras, serviços e compras",
    ),
    6: (
        "Lei 14.133/2021, Art. 74, I",
        (
            "Inexigibilidade de Licitação: aquisição de materiais, de equipamentos ou de gêneros ou contratação de "
            "serviços que só possam ser fornecidos por produtor, empresa ou representante comercial exclusivos"
        ),
    ),
    18: (
        "Lei 14.133/2021, Art. 75, I",
        (
            "Dispensa de Licitação: para contratação que envolva valores inferiores a R$ 100.000,00 (cem mil reais), "
            "no caso de obras e serviços de engenharia ou de serviços de manutenção de veículos automotores"
        ),
    ),
    19: (
        "Lei 14.133/2021, Art. 75, II",
        (
            "Dispensa de Licitação: para contratação que envolva valores inferiores a R$ 50.000,00 (cinquenta mil "
            "reais), no caso de outros serviços e compras"
        ),
    ),
    38: (
        "Lei 14.133/2021, Art. 75, VIII",
        (
            "Dispensa de Licitação: nos casos de emergência ou de calamidade pública, quando caracterizada urgência "
            "de atendimento de situação que possa ocasionar prejuízo ou comprometer a continuidade dos serviços "
            "públicos ou a segurança de pessoas, obras, serviços, equipamentos e outros bens, públicos ou "
            "particulares, e somente para aquisição dos bens necessários ao atendimento da situação emergencial"
        ),
    ),
    47: ("Lei 14.133/2021, Art. 78, I", "Procedimento auxiliar: credenciamento"),
    48: ("Lei 14.133/2021, Art. 78, II", "Procedimento auxiliar: pré-qualificação"),
    49: ("Lei 14.133/2021, Art. 78, III", "Procedimento auxiliar: procedimento de manifestação de interesse"),
    50: (
        "Lei 14.133/2021, Art. 74, caput",
        "Inexigibilidade de Licitação: Todas as formas de inexigibilidade não previstas no art. 74",
    ),
    80: (
        "Lei 14.133/2021, Art. 1º, § 2º",
        "Licitações que envolvam recursos provenientes de empréstimo ou doação",
    ),
    159: (
        "Lei 14.981/2024, Art. 2º, I",
        "Medidas excepcionais para o enfrentamento de impactos decorrentes de calamidade pública",
    ),
}


class Modalidade(NamedTuple):
    """What a record of one modalidade may say: lists to draw from, each entry as likely as the next."""

    amparos: tuple[int, ...]
    modos: tuple[int, ...]
    instrumentos: tuple[int, ...]


_CONCORRENCIA = Modalidade((2,), (1, 1, 1, 3, 2, 6), (1,))
_PREGAO = Modalidade((1,), (3, 3, 3, 1, 1, 6), (1,))
_LEILAO = Modalidade((4,), (1,), (1,))
_AUXILIAR = Modalidade((80, 50), (5,), (1,))
RULES: Final = {
    1: _LEILAO,
    2: Modalidade((5,), (5,), (1,)),
    3: Modalidade((3,), (5,), (1,)),
    4: _CONCORRENCIA,
    5: _CONCORRENCIA,
    6: _PREGAO,
    7: _PREGAO,
    8: Modalidade((19, 19, 19, 19, 18, 38, 159), (4, 4, 5, 5), (2, 2, 2, 3)),
    9: Modalidade((50, 50, 6), (5,), (3,)),
    10: Modalidade((49,), (5,), (1,)),
    11: Modalidade((48,), (5,), (1,)),
    12: Modalidade((47,), (5,), (1,)),
    13: _LEILAO,
    14: _AUXILIAR,
    15: _AUXILIAR,
    16: _CONCORRENCIA,
    17: _CONCORRENCIA,
    18: _PREGAO,
    19: _PREGAO,
}

# name, IBGE code of seven digits, UF
MUNICIPIOS: Final = (
    ("São Paulo", "3550308", "SP"),
    ("Campinas", "3509502", "SP"),
    ("Guarulhos", "3518800", "SP"),
    ("Santos", "3548500", "SP"),
    ("Ribeirão Preto", "3543402", "SP"),
    ("Sorocaba", "3552205", "SP"),
    ("Rio de Janeiro", "3304557", "RJ"),
    ("Niterói", "3303302", "RJ"),
    ("Belo Horizonte", "3106200", "MG"),
    ("Uberlândia", "3170206", "MG"),
    ("Juiz de Fora", "3136702", "MG"),
    ("Vitória", "3205309", "ES"),
    ("Curitiba", "4106902", "PR"),
    ("Londrina", "4113700", "PR"),
    ("Maringá", "4115200", "PR"),
    ("Florianópolis", "4205407", "SC"),
    ("Joinville", "4209102", "SC"),
    ("Criciúma", "4204608", "SC"),
    ("Porto Alegre", "4314902", "RS"),
    ("Caxias do Sul", "4305108", "RS"),
    ("Brasília", "5300108", "DF"),
    ("Goiânia", "5208707", "GO"),
    ("Anápolis", "5201108", "GO"),
    ("Cuiabá", "5103403", "MT"),
    ("Campo Grande", "5002704", "MS"),
    ("Dourados", "5003702", "MS"),
    ("Salvador", "2927408", "BA"),
    ("Feira de Santana", "2910800", "BA"),
    ("Recife", "2611606", "PE"),
    ("Caruaru", "2604106", "PE"),
    ("Fortaleza", "2304400", "CE"),
    ("São Luís", "2111300", "MA"),
    ("Maceió", "2704302", "AL"),
    ("Natal", "2408102", "RN"),
    ("João Pessoa", "2507507", "PB"),
    ("Teresina", "2211001", "PI"),
    ("Aracaju", "2800308", "SE"),
    ("Belém", "1501402", "PA"),
    ("Manaus", "1302603", "AM"),
    ("Palmas", "1721000", "TO"),
    ("Porto Velho", "1100205", "RO"),
    ("Rio Branco", "1200401", "AC"),
    ("Macapá", "1600303", "AP"),
    ("Boa Vista", "1400100", "RR"),
)
UFS: Final = {
    "AC": "Acre",
    "AL": "Alagoas",
    "AM": "Amazonas",
    "AP": "Amapá",
    "BA": "Bahia",
    "CE": "Ceará",
    "DF": "Distrito Federal",
    "ES": "Espírito Santo",
    "GO": "Goiás",
    "MA": "Maranhão",
    "MG": "Minas Gerais",
    "MS": "Mato Grosso do Sul",
    "MT": "Mato Grosso",
    "PA": "Pará",
    "PB": "Paraíba",
    "PE": "Pernambuco",
    "PI": "Piauí",
    "PR": "Paraná",
    "RJ": "Rio de Janeiro",
    "RN": "Rio Grande do Norte",
    "RO": "Rondônia",
    "RR": "Roraima",
    "RS": "Rio Grande do Sul",
    "SC": "Santa Catarina",
    "SE": "Sergipe",
    "SP": "São Paulo",
    "TO": "Tocantins",
}

# name (with the place of the município), esfera, poder; a town hall is usually M with poder N
ORGAOS: Final = (
    ("MUNICIPIO DE {}", "M", "N"),
    ("MUNICIPIO DE {}", "M", "E"),
    ("FUNDO MUNICIPAL DE SAÚDE DE {}", "M", "N"),
    ("FUNDO MUNICIPAL DE ASSISTÊNCIA SOCIAL DE {}", "M", "N"),
    ("CÂMARA MUNICIPAL DE {}", "M", "L"),
    ("SERVIÇO AUTÔNOMO DE ÁGUA E ESGOTO DE {}", "M", "E"),
    ("INSTITUTO FEDERAL DE EDUCACAO CIENCIA E TECNOLOGIA - {}", "F", "E"),
    ("UNIVERSIDADE FEDERAL DE {}", "F", "E"),
    ("TRIBUNAL REGIONAL DO TRABALHO - {}", "F", "J"),
    ("SECRETARIA DE ESTADO DA EDUCAÇÃO - {}", "E", "E"),
    ("TRIBUNAL DE JUSTIÇA - {}", "E", "J"),
    ("CONSÓRCIO INTERMUNICIPAL DE {}", "N", "N"),
)
UNIDADES: Final = (
    "SETOR DE COMPRAS",
    "SECRETARIA MUNICIPAL DE EDUCAÇÃO",
    "Secretaria de Saúde - Almoxarifado",
    "DIRETORIA ADMINISTRATIVA",
    "FUNDO MUNICIPAL DE SAÚDE",
    "Departamento de Licitações e Contratos",
)
# Unit codes are text: leading zeros, dots and letters occur.
CODIGOS_UNIDADE: Final = (
    "1",
    "01",
    "001",
    "986001",
    "153978",
    "CIN180",
    "002-FMS",
    "3.2026",
    "3400",
    "00010",
    "925041",
)

OBJETOS: Final = (
    "Aquisição de {}, conforme condições e exigências estabelecidas neste Edital e seus anexos.",
    "REGISTRO DE PREÇOS PARA FUTURA E EVENTUAL AQUISIÇÃO DE {}",
    "Contratação de empresa especializada no fornecimento de {} para atender às necessidades da Administração.",
    "[Portal de Compras Públicas] - Aquisição de {} destinados às unidades escolares do município.",
    "[LICITANET] - contratação, com entrega parcelada, de {}",
    " Aquisição de {} \r\n- Lote único\r\n- Entrega em até 30 (trinta) dias",
    "\tFORNECIMENTO DE {} PARA A SECRETARIA MUNICIPAL DE SAÚDE ",
    "O objeto da presente licitação é a escolha da proposta mais vantajosa para {}",
)
BENS: Final = (
    "gêneros alimentícios não perecíveis",
    "medicamentos do sistema cardiovascular",
    "material de expediente e papelaria",
    "equipamentos de informática",
    "óculos com lentes especiais",
    "materiais de higiene e limpeza",
    "pneus, câmaras de ar e protetores",
    "combustíveis \u2013 gasolina comum e óleo diesel S10",
    "mobiliário escolar",
    "uniformes e calçados",
    "material odontológico",
    "serviços de manutenção predial preventiva e corretiva",
    "serviços de copeiragem e recepção",
    "obras de pavimentação asfáltica em vias urbanas",
    "exames laboratoriais de análises clínicas",
    "apresentação artística para as festividades de aniversário da cidade",
)
ITENS: Final = (
    ("Arroz agulhinha tipo 1, pacote de 5 kg", "PACOTE", "M"),
    ("Papel sulfite A4, 75 g/m², branco", "RESMA", "M"),
    ("Agulha para coleta múltipla de sangue a vácuo 25 x 8 mm", "UNIDADE", "M"),
    ("Microtubo de centrifugação 2 ml graduado; tampa do tipo â??Snap Capâ?", "PACOTE", "M"),
    ('Notebook, tela 14", memória 16 GB, SSD 512 GB', "UN", "M"),
    ("Cadeira giratória com apoio para os braços\r\nCor: azul", "UNIDADE", "M"),
    ("Óleo diesel S10", "LITRO", "M"),
    ("Pneu 175/70 R14", "UNIDADE", "M"),
    ("Dipirona sódica 500 mg, comprimido", "CPR", "M"),
    ("Prestação de serviços de copeiragem", "MÊS", "S"),
    ("Manutenção preventiva de aparelhos de ar-condicionado", "SERVIÇO", "S"),
    ("Serviço de transporte escolar, rota rural", "KM", "S"),
    ("Areia cinética 550 g", "UN", "M"),
    ("Pipeta Pasteur 10 ÂµL", "CAIXA", "M"),
)
USUARIOS: Final = (
    "Compras.gov.br",
    "Compras.gov.br",
    "Compras.gov.br",
    "SMARAPD INFORMATICA LTDA",
    "ECustomize Consultoria em Software S.A",
    "Fiorilli Software",
    "Betha Sistemas",
    "Bolsa Nacional De Compras - BNC",
    "Novo BBMNET Licitações",
    "BLL Compras",
)
# Links are free text: the placeholder of Swagger, eaten slashes, bare hosts and blanks are on record.
LINKS: Final = (
    "https://cnetmobile.estaleiro.serpro.gov.br/comprasnet-web/public/compras/acompanhamento-compra?compra=12006005000392026",
    "https://www.portaldecompraspublicas.com.br/processos/",
    "https:pncp.gov.brappeditais",
    "www.licitanet.com.br",
    "string",
    " ",
    "0",
)

TIPOS_CONTRATO: Final = {
    1: "Contrato (termo inicial)",
    2: "Comodato",
    4: "Concessão",
    7: "Empenho",
    8: "Outros",
    12: "Carta Contrato",
}
TIPO_CONTRATO_WEIGHTS: Final = (46, 1, 1, 45, 5, 2)
# The whole table; those above are what invented contratos have.
TODOS_TIPOS_CONTRATO: Final = {
    1: "Contrato (termo inicial)",
    2: "Comodato",
    3: "Arrendamento",
    4: "Concessão",
    5: "Termo de Adesão",
    6: "Convênio",
    7: "Empenho",
    8: "Outros",
    9: "Termo de Execução Descentralizada (TED)",
    10: "Acordo de Cooperação Técnica (ACT)",
    11: "Termo de Compromisso",
    12: "Carta Contrato",
}
CATEGORIAS_PROCESSO: Final = {
    1: "Cessão",
    2: "Compras",
    3: "Informática (TIC)",
    5: "Locação Imóveis",
    6: "Mão de Obra",
    7: "Obras",
    8: "Serviços",
    9: "Serviços de Engenharia",
}
CATEGORIA_PROCESSO_WEIGHTS: Final = (1, 30, 7, 1, 2, 2, 54, 3)
USUARIOS_CONTRATOS: Final = (
    "Contratos.gov.br",
    "Contratos.gov.br",
    "Contratos.gov.br",
    "Compras.gov.br",
    "Betha Sistemas",
    "Governançabrasil Tecnologia e Gestão em Serviços",
    "E & L PRODUCOES DE SOFTWARE LTDA",
)
USUARIOS_ATAS: Final = ("Contratos.gov.br", "Licita + Brasil", "3Tecnos Tecnologia LTDA", "Diretriz informatica eireli")
# the name that items of plans bear, which is not that of the table
NOMES_CATALOGO: Final = {1: "Catálogo do Compras.gov.br", 2: "Outros"}
CLASSIFICACOES_PCA: Final = {1: "Material", 2: "Serviço"}
# code and name of a class of the catalogue, and whether it is of materials (1) or of services (2)
CLASSES_PCA: Final = (
    ("7510", "ARTIGOS PARA ESCRITÓRIO", 1),
    ("7110", "MOBILIÁRIO PARA ESCRITÓRIO", 1),
    ("7050", "EQUIPAMENTOS DE REDE DE TIC - LOCAL E REMOTA", 1),
    ("8960", "BEBIDAS NÃO ALCOÓLICAS", 1),
    ("7830", "EQUIPAMENTO PARA GINÁSTICA E RECREAÇÃO", 1),
    ("833", "SERVIÇOS DE ENGENHARIA", 2),
    ("5469", "OUTROS SERVIÇOS DE INSTALAÇÃO", 2),
    ("166", "SERVIÇOS DE MANUTENÇÃO E INSTALAÇÃO DE EQUIPAMENTOS DE TIC", 2),
)
RAMOS: Final = (
    "COMERCIO DE ALIMENTOS LTDA",
    "Distribuidora de Medicamentos Ltda.",
    "SERVICOS E LOCACOES EIRELI",
    "CONSTRUTORA S.A.",
    "Informática & Papelaria - ME",
)
PRENOMES: Final = ("Ana", "João", "Maria", "José", "Conceição", "Luís")
SOBRENOMES: Final = ("Silva", "Souza", "Araújo", "Gonçalves", "D'Ávila", "Brandão", "Pires")

# Arbitrary text, seldom the name of a file, never longer than 50.
TITULOS: Final = (
    "Edital",
    "EDITAL.pdf",
    "Edital {1}{0:03d}",
    "Termo de Referencia",
    "ESTUDO TECNICO PRELIMINAR",
    "Mapa de Precos",
    "Parecer da CGM  Notas Tecnicas",
    "Untitled_20260804_165744.pdf.pdf",
    "05---Aviso-de-Licitacao-_DIA_-DOM_-DOU_---Pr...",
    "Cto.{0}.PMC.{1} PRe 216.PMC.2023 - Fiscalizacao e Gestao",
    "Edital antigo",
)
OBJETOS_TERMO: Final = {
    1: ("Rescisão amigável do contrato.", "Rescisão unilateral do contrato por razões de interesse público."),
    2: (
        "Prorrogação do prazo de vigência do contrato por mais 12 (doze) meses.",
        " O acréscimo de materiais e serviços motivado por alteração do projeto inicialmente previsto. ",
        "A supressão de itens da proposta e a correção dos quantitativos.",
    ),
    3: ("Repactuação conforme convenção coletiva de trabalho.", "Reajuste anual pelo índice do contrato."),
}

# Hours at which recorded records were published, and how many of them; contratos of a day come at midnight too.
HOURS_CONTRATACOES: Final = {7: 288, 8: 29, 9: 39, 10: 26, 11: 23, 12: 8, 13: 36, 14: 48, 15: 59, 16: 43, 17: 19, 18: 5}
HOURS_CONTRATOS: Final = {
    0: 355,
    7: 14,
    8: 90,
    9: 56,
    10: 73,
    11: 53,
    12: 74,
    13: 80,
    14: 105,
    15: 107,
    16: 80,
    17: 77,
    18: 36,
    19: 18,
    22: 6,
}
