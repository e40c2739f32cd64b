"""French: the page's head and title, the tabs, the guide."""

SHELL = {
    # Head
    "One captioning model that answers in several different ways at once: compare its captions of a picture or a "
    "sound with what beam search and diverse beam search find.": (
        "Un modèle de légendage qui répond de plusieurs façons à la fois : comparez ses légendes d'une image ou "
        "d'un son à celles que trouvent la recherche en faisceau et sa variante diversifiée."
    ),
    "One model whose answer branches into three coloured lines": (
        "Un modèle dont la réponse se divise en trois lignes de couleur"
    ),
    # Title
    "no": "aucune",
    "one": "une",
    "two": "deux",
    "three": "trois",
    "four": "quatre",
    "five": "cinq",
    "six": "six",
    "seven": "sept",
    "eight": "huit",
    "nine": "neuf",
    "ten": "dix",
    "a picture": "une image",
    "a sound": "un son",
    " or ": " ou ",
    "One model, one way of answering": "Un modèle, une façon de répondre",
    "One model, {ways} ways of answering": "Un modèle, {ways} façons de répondre",
    "{One} can be described in several right ways, but captioning programs tend to say one thing, or the same thing "
    "reworded. This model gives <b>{ways} answers of different kinds</b> at once: compare them with what the usual "
    "methods find.": (
        "{One} peut se décrire de plusieurs façons justes, mais les programmes de légendage disent souvent une seule "
        "chose, ou la même en d'autres mots. Ce modèle donne à la fois <b>{ways} réponses de nature différente</b> : "
        "comparez-les à ce que trouvent les méthodes habituelles."
    ),
    # Tabs
    "Image": "Image",
    "Audio": "Audio",
    "Batch": "Par lot",
    "How it works": "Principe",
    "Results": "Résultats",
    # Under the columns
    "<b>log-prob.</b> is how likely a column's own model finds its caption: the sum over its tokens and, in "
    "brackets, their mean; nearer to 0 is likelier. Searches list captions by their <b>score</b>. Hypotheses and "
    "baselines are different models: compare these figures within a column, not across.": (
        "<b>log-prob.</b> indique à quel point le modèle d'une colonne juge sa légende probable : la somme sur "
        "les jetons et, entre parenthèses, leur moyenne ; plus c'est proche de 0, plus c'est probable. Les "
        "recherches classent leurs légendes par <b>score</b>. Hypothèses et références sont des modèles "
        "différents : comparez ces chiffres au sein d'une colonne, non d'une colonne à l'autre."
    ),
    # Guide
    "How to read this page": "Comment lire cette page",
    "Hypotheses": "Hypothèses",
    "{count} small add-ons (LoRA adapters) to one frozen model. In training, each caption taught mostly the "
    "add-on that already explained it best, so each came to speak for one kind of description.": (
        "{count} petits modules (adaptateurs LoRA) ajoutés à un modèle figé. À l'entraînement, chaque légende a "
        "surtout instruit le module qui l'expliquait déjà le mieux ; chacun s'est ainsi spécialisé dans un type "
        "de description."
    ),
    "Here they share one reading of the picture and write at the same time, one token after the other.": (
        "Ici, ils partagent une seule lecture de l'image et écrivent en même temps, un jeton après l'autre."
    ),
    "Here they share one reading of the sound and write at the same time, one token after the other.": (
        "Ici, ils partagent une seule écoute du son et écrivent en même temps, un jeton après l'autre."
    ),
    "The usual way to get several captions from an ordinarily trained model: keep the likeliest unfinished "
    "sentences and extend them. The candidates are often near copies of each other.": (
        "La façon habituelle d'obtenir plusieurs légendes d'un modèle entraîné de manière classique : garder les "
        "débuts de phrase les plus probables et les prolonger. Les candidates sont souvent presque identiques."
    ),
    "The same, but the candidates are split into groups, and a group pays a penalty for a word that an earlier "
    "group has just used.": (
        "La même, mais les candidates sont réparties en groupes, et un groupe est pénalisé quand il emploie un "
        "mot qu'un groupe précédent vient d'employer."
    ),
    "Where the settings ask for it: captions drawn at random, a likely word more often than an unlikely one.": (
        "Si les réglages le demandent : des légendes tirées au hasard, un mot probable plus souvent qu'un mot "
        "improbable."
    ),
    "log-prob.": "log-prob.",
    "How likely the model itself finds the caption, as a sum over its tokens: nearer to 0 is likelier. Long "
    "captions get lower sums, so compare captions of similar length. The hypotheses and the baselines are "
    "different models: their log-probabilities cannot be compared with each other.": (
        "La probabilité que le modèle lui-même donne à la légende, en somme de logarithmes sur ses jetons : plus "
        "c'est proche de 0, plus c'est probable. Une longue légende a une somme plus basse : comparez des "
        "légendes de longueur voisine. Les hypothèses et les références sont des modèles différents : leurs "
        "log-probabilités ne se comparent pas entre elles."
    ),
    "What a search ranks its captions by: the log-probability for each token, unless the model's settings favour "
    "long or short ones; diverse beam search ranks within its groups.": (
        "Ce qui sert à une recherche à classer ses légendes : la log-probabilité par jeton, sauf si les réglages "
        "du modèle favorisent les longues ou les courtes ; la recherche diversifiée classe au sein de ses "
        "groupes."
    ),
    "Pictures": "Images",
    "Recordings": "Enregistrements",
    "stay on the computer that runs this page and are deleted within about an hour.": (
        "restent sur l'ordinateur qui sert cette page et sont supprimés au bout d'une heure environ."
    ),
}
