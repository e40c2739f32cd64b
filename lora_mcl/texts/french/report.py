"""French: reports of captioned files, as HTML and as tables."""

REPORT = {
    "Captions of {name}": "Légendes de {name}",
    "Captions of {count} files": "Légendes de {count} fichiers",
    "Each hypothesis is one way of answering of the same model; beam search and diverse beam search are the usual "
    "ways to get several captions from one that was trained ordinarily. Made on {date}.": (
        "Chaque hypothèse est une des façons de répondre d'un même modèle ; la recherche en faisceau et sa variante "
        "diversifiée sont les moyens habituels d'obtenir plusieurs légendes d'un modèle entraîné de manière "
        "classique. Fait le {date}."
    ),
    "second {start:.1f} to {end:.1f} of {duration:.1f}": "secondes {start:.1f} à {end:.1f} sur {duration:.1f}",
    "stopped before the end": "arrêté avant la fin",
    "Left out: {message}": "Laissé de côté : {message}",
    "The model's input.": "L'entrée du modèle.",
    "(nothing written)": "(rien d'écrit)",
    "score {value}": "score {value}",
    "log-prob. {value}": "log-prob. {value}",
    "{mean} per token": "{mean} par jeton",
    "{count} tokens": "{count} jetons",
    "How to read the figures": "Comment lire les chiffres",
    "log-prob. is how likely the model itself finds a caption, in nats, summed over its tokens: nearer to 0 is "
    "likelier. The hypotheses and the baselines are different models: their log-probabilities cannot be compared "
    "with each other. score is what a search ranks its captions by.": (
        "log-prob. indique à quel point le modèle lui-même juge une légende probable, en nats, en somme sur ses "
        "jetons : plus c'est proche de 0, plus c'est probable. Les hypothèses et les références sont des modèles "
        "différents : leurs log-probabilités ne se comparent pas entre elles. score est ce qui sert à une recherche "
        "à classer ses légendes."
    ),
    "Model and settings": "Modèle et réglages",
    "Model and settings: {model}": "Modèle et réglages : {model}",
    "model": "modèle",
    "off": "désactivé",
    "all": "toutes",
    # Headers of tables
    "file": "fichier",
    "column": "colonne",
    "label": "intitulé",
    "rank": "rang",
    "caption": "légende",
    "tokens": "jetons",
    "log_prob": "log_prob",
    "mean_log_prob": "log_prob_moyenne",
    "score": "score",
    "settings": "réglages",
    "error": "erreur",
}
