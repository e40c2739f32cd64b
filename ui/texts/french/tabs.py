"""French: the tabs "Batch", "How it works" and "Results"."""

TABS = {
    # Batch
    "Up to {count} {files}, or a zip": "Jusqu'à {count} {files}, ou un zip",
    "pictures and sounds": "images et sons",
    "Caption all": "Tout légender",
    "Sort": "Trier",
    "As given": "Dans l'ordre donné",
    "Most disagreement first": "Désaccord décroissant",
    "Least disagreement first": "Désaccord croissant",
    "Longest first": "Les plus longues d'abord",
    "Shortest first": "Les plus courtes d'abord",
    "Language": "Langue",
    "Any language": "Toute langue",
    "Least disagreement, %": "Désaccord minimal, %",
    "Least words": "Mots au moins",
    "Download CSV": "Télécharger le CSV",
    "Download JSON": "Télécharger le JSON",
    "Download report (HTML)": "Télécharger le rapport (HTML)",
    "You get a table to sort and filter, and files to keep: a report that opens offline, CSV and JSON.": (
        "Vous obtenez un tableau à trier et à filtrer, et des fichiers à garder : un rapport qui s'ouvre hors ligne, "
        "CSV et JSON."
    ),
    "{count} of {total} rows match": "{count} lignes sur {total} correspondent",
    "Files done": "Fichiers traités",
    "Thumbnail of {name}": "Vignette de {name}",
    "This could not be done now. Please try again in a minute.": (
        "Impossible pour l'instant. Réessayez dans une minute."
    ),
    "{count} · {time} left": "{count} · encore {time}",
    "Stopped. {count} of {total} files are captioned, and stay.": (
        "Arrêté. {count} fichiers sur {total} sont légendés et restent."
    ),
    "{count} of {total} files captioned in {time}.": "{count} fichiers sur {total} légendés en {time}.",
    "{done} {failed}": "{done} {failed}",
    "1 could not be captioned: see its row.": "1 n'a pas pu être légendé : voyez sa ligne.",
    "{count} could not be captioned: see their rows.": "{count} n'ont pas pu être légendés : voyez leurs lignes.",
    "about {count} s": "environ {count} s",
    "about {count} min": "environ {count} min",
    "disagreement": "désaccord",
    "longest": "la plus longue",
    "{count} words": "{count} mots",
    "languages": "langues",
    "best of {count}": "meilleure de {count}",
    # How it works
    "Two hidden recipes": "Deux recettes cachées",
    "Two hidden recipes write strings of beads, ○ and ●. The computer sees the strings and never which recipe "
    "wrote which. <b>One model</b> can only learn the average of the recipes, which none follows. <b>Two "
    "hypotheses</b> come apart, because each string teaches only the one that already explains it better: each "
    "finds a recipe. Captions are strings too, and their hidden recipes are the ways to describe a picture.": (
        "Deux recettes cachées écrivent des suites de perles, ○ et ●. L'ordinateur voit les suites sans jamais "
        "savoir quelle recette a écrit laquelle. <b>Un modèle unique</b> ne peut apprendre que la moyenne des "
        "recettes, que personne n'emploie. <b>Deux hypothèses</b> se séparent, car chaque suite n'instruit que "
        "celle qui l'explique déjà le mieux : chacune trouve une recette. Les légendes aussi sont des suites, et "
        "leurs recettes cachées sont les façons de décrire une image."
    ),
    "Why this works": "Pourquoi cela marche",
    "Why this works.": "Pourquoi cela marche.",
    "Every training step first asks which hypothesis explains each string best (who could have written it?), "
    "then improves that hypothesis on the strings it won. Statisticians call this pair of steps EM, expectation "
    "and maximisation: each makes the other easier, so a small lead grows until every hypothesis has a recipe of "
    "its own.": (
        "Chaque pas d'entraînement demande d'abord quelle hypothèse explique le mieux chaque suite (qui a pu "
        "l'écrire ?), puis améliore cette hypothèse sur les suites qu'elle a gagnées. Les statisticiens nomment "
        "ces deux temps EM, espérance et maximisation : chacun facilite l'autre, si bien qu'une petite avance "
        "grandit jusqu'à ce que chaque hypothèse ait sa recette."
    ),
    "From beads back to captions: {media}": "Des perles aux légendes : {media}",
    "Captions are strings of words, and their recipes are ways to describe. This page's model was trained in the same "
    "way, without the kinds' names, and each kind found a hypothesis: of its test captions, the share that each "
    "hypothesis explains best.": (
        "Les légendes sont des suites de mots, et leurs recettes, des façons de décrire. Le modèle de cette page a été "
        "entraîné de la même façon, sans les noms des types, et chaque type a trouvé une hypothèse : parmi ses "
        "légendes de test, la part que chaque hypothèse explique le mieux."
    ),
    "Set-up": "Dispositif",
    "Two very different recipes": "Deux recettes très différentes",
    "Two similar recipes": "Deux recettes voisines",
    "<b>Recipe {name}</b>: after ○ comes ● in {after_hollow:.0%} of cases, after ● again ● in {after_filled:.0%}.": (
        "<b>Recette {name}</b> : après ○ vient ● dans {after_hollow:.0%} des cas, après ● encore ● dans "
        "{after_filled:.0%}."
    ),
    "Training step": "Pas d'entraînement",
    "Drag to go back to the beginning": "Faites glisser pour revenir au début",
    "Play": "Lecture",
    "Train live": "Entraîner en direct",
    "Playing …": "Lecture …",
    "Training …": "Entraînement …",
    "Trained in {seconds:.0f} s from random start {seed}. Drag the slider to watch it again.": (
        "Entraîné en {seconds:.0f} s depuis le départ aléatoire {seed}. Faites glisser le curseur pour revoir."
    ),
    "Stopped after step {step}. The slider shows how far it came.": (
        "Arrêté après le pas {step}. Le curseur montre jusqu'où il est allé."
    ),
    "Which hypothesis wins each string?": "Quelle hypothèse gagne chaque suite ?",
    "What has each learned?": "Qu'a appris chacun ?",
    "How well do they predict the next bead?": "Prédisent-ils bien la perle suivante ?",
    "Before training both hypotheses are the same, so there is nothing to win yet.": (
        "Avant l'entraînement, les deux hypothèses sont identiques : il n'y a encore rien à gagner."
    ),
    "The hypotheses never see the recipe; they only see the strings.": (
        "Les hypothèses ne voient jamais la recette ; elles ne voient que les suites."
    ),
    "string": "suite",
    "recipe": "recette",
    "One model": "Un modèle",
    "Hypothesis 1": "Hypothèse 1",
    "Hypothesis 2": "Hypothèse 2",
    "one model": "un modèle",
    "hypothesis 1": "hypothèse 1",
    "hypothesis 2": "hypothèse 2",
    "average": "moyenne",
    "{model}: ● after ○ {after_hollow:.0%}, after ● {after_filled:.0%}.": (
        "{model} : ● après ○ {after_hollow:.0%}, après ● {after_filled:.0%}."
    ),
    "Across: how often ● follows ○. Up: how often ● follows ●. Rings mark the recipes, the dashed square their "
    "average.": (
        "En abscisse : combien de fois ● suit ○. En ordonnée : combien de fois ● suit ●. Les anneaux marquent "
        "les recettes, le carré en tirets leur moyenne."
    ),
    "training step": "pas d'entraînement",
    "At step {step}: one model {one:.3f}, the better hypothesis {two:.3f} nats per bead.": (
        "Au pas {step} : un modèle {one:.3f}, la meilleure hypothèse {two:.3f} nats par perle."
    ),
    "one model {loss:.3f}": "un modèle {loss:.3f}",
    "the better of two hypotheses {loss:.3f}": "la meilleure de deux hypothèses {loss:.3f}",
    "Prediction loss in nats per bead, lower is better. Dashed: the least loss possible for one model, and for "
    "who knows the recipe.": (
        "Perte de prédiction en nats par perle, plus c'est bas, mieux c'est. En tirets : la plus petite perte "
        "possible pour un modèle unique, et pour qui connaît la recette."
    ),
    "The figures behind this": "Les chiffres derrière ceci",
    "Prediction loss": "Perte de prédiction",
    "mean of {count} runs: ": "moyenne de {count} entraînements : ",
    "On new strings, {runs}{one:.3f} nats per bead for one model, {two:.3f} for the better of two hypotheses. "
    "The least possible is {best_one:.3f} for one model that sees nine beads, and {best_known:.3f} for who knows "
    "the recipe.": (
        "Sur de nouvelles suites, {runs}{one:.3f} nats par perle pour un modèle unique, {two:.3f} pour la "
        "meilleure de deux hypothèses. Le minimum possible est {best_one:.3f} pour un modèle unique qui voit "
        "neuf perles, et {best_known:.3f} pour qui connaît la recette."
    ),
    "Winner": "Gagnante",
    "The hypothesis that explains a string best is the one that models its recipe in {share:.1%} of them.": (
        "L'hypothèse qui explique le mieux une suite est celle qui correspond à sa recette dans {share:.1%} des cas."
    ),
    "Recipes found": "Recettes trouvées",
    "The chances that the two hypotheses learned are off those of the recipes by at most {two:.3f}; those of the "
    "one model are off the average of the recipes by at most {one:.3f}.": (
        "Les probabilités apprises par les deux hypothèses s'écartent de celles des recettes d'au plus {two:.3f} "
        "; celles du modèle unique s'écartent de la moyenne des recettes d'au plus {one:.3f}."
    ),
    "No adapter can do better: a recipe needs {needed:.0%}, and the output layers of the frozen models give at "
    "most {least:.0%} to {most:.0%}.": (
        "Aucun adaptateur ne peut mieux faire : une recette exige {needed:.0%}, et les couches de sortie des "
        "modèles figés donnent au plus {least:.0%} à {most:.0%}."
    ),
    "<code>{name}</code> of the LoRA-MCL paper: two Markov chains, a frozen GPT-Neo with random weights, "
    "adapters of rank 64 on its attention. Live training is smaller (rank 16, fewer strings). <code>python -m "
    "training.experiments.markov --setup {name}</code> repeats the recorded one.": (
        "<code>{name}</code> de l'article LoRA-MCL : deux chaînes de Markov, un GPT-Neo figé aux poids "
        "aléatoires, des adaptateurs de rang 64 sur son attention. L'entraînement en direct est plus petit (rang "
        "16, moins de suites). <code>python -m training.experiments.markov --setup {name}</code> refait celui "
        "qui est enregistré."
    ),
    # Results
    "Measured on": "Mesuré sur",
    "Sounds": "Sons",
    "Translations by people": "Traductions humaines",
    "Hypotheses (caption gate)": "Hypothèses (porte par légende)",
    "Hypotheses (relaxed)": "Hypothèses (relâchées)",
    "Nucleus sampling": "Échantillonnage du noyau",
    "clips": "extraits",
    "share of the things in a picture that its caption names rightly": (
        "part des choses d'une image que sa légende nomme avec justesse"
    ),
    "share of the sounds in a clip whose family its caption names rightly": (
        "part des sons d'un extrait dont sa légende nomme la famille avec justesse"
    ),
    "chrF of a caption against the nearest of the four translations": (
        "chrF d'une légende face à la plus proche des quatre traductions"
    ),
    "Three captions of each of {count:,} test {media}, made by a program from material that no training saw; "
    "beam searches use one adapter with three beams; every adapter was trained once. The captions that the models "
    "learned from were written by programs too, so this shows what the method does, and little of how it does on "
    "captions by people.": (
        "Trois légendes pour chacun des {count:,} exemples de test ({media}), faits par un programme à partir de "
        "matériaux qu'aucun entraînement n'a vus ; les recherches emploient un seul adaptateur et un faisceau de "
        "largeur trois ; chaque adaptateur a été entraîné une fois. Les légendes d'apprentissage ont elles aussi été "
        "écrites par des programmes : cela montre ce que fait la méthode, et peu ce qu'elle donne sur des légendes "
        "humaines."
    ),
    "Four translations of each of {count} short messages of programs, which people translated into French, "
    "German, Spanish and Italian; the language is not given. The model is tiny and was trained for minutes, so "
    "its translations are poor; {starts}. What can be seen is which hypothesis takes which language, though none "
    "is named in training.": (
        "Quatre traductions de chacun de {count} courts messages de programmes, traduits par des gens en "
        "français, allemand, espagnol et italien ; la langue n'est pas donnée. Le modèle est minuscule et n'a "
        "été entraîné que quelques minutes : ses traductions sont mauvaises ; {starts}. On y voit quelle "
        "hypothèse prend quelle langue, bien qu'aucune ne soit nommée à l'entraînement."
    ),
    "1 random start": "1 départ aléatoire",
    "mean ± standard deviation over {count} random starts": ("moyenne ± écart type sur {count} départs aléatoires"),
    "mean ± standard deviation over {least} to {most} random starts": (
        "moyenne ± écart type sur {least} à {most} départs aléatoires"
    ),
    "Quality against diversity": "Qualité et diversité",
    "Up is better: the {quality}; the dot is the best of K captions, the tail goes down to their mean. Right is "
    "more diverse: captions of one medium share fewer word sequences (1 − mBLEU-4). Best of K favours diverse "
    "captions, so look at the tails too.": (
        "Plus haut, c'est mieux : {quality} ; le point est la meilleure de K légendes, la queue descend à leur "
        "moyenne. Plus à droite, c'est plus divers : les légendes d'un même exemple partagent moins de suites de "
        "mots (1 − mBLEU-4). La meilleure de K avantage tout ce qui est divers : regardez aussi les queues."
    ),
    "Best, mean and worst caption": "Meilleure légende, moyenne et moins bonne",
    "The {quality}, from 0 to 100. The best of K is what a user who may choose gets, the worst what an unlucky "
    "user gets. mBLEU-4: lower is more diverse.": (
        "De 0 à 100 : {quality}. La meilleure de K est ce qu'obtient qui peut choisir, la moins bonne ce "
        "qu'obtient qui n'a pas de chance. mBLEU-4 : plus bas, c'est plus divers."
    ),
    "Who wins which kind of caption: {system}": "Qui gagne quel type de légende : {system}",
    "Each row adds up to 100%. One strong cell a row means that a kind (a mode) has a hypothesis of its own; an "
    "even row, that it has none. Training never saw the kinds' names.": (
        "Chaque ligne fait 100 % au total. Une seule case forte par ligne veut dire qu'un type (un mode) a sa propre "
        "hypothèse ; une ligne égale, qu'il n'en a pas. L'entraînement n'a jamais vu les noms des types."
    ),
    "Loss against the number of hypotheses": "Perte selon le nombre d'hypothèses",
    "NLL of the references in nats per token, lower is better. 1: of each reference's best hypothesis, which any "
    "choice lowers; 2: of all K as one distribution, the fair comparison with a single adapter (K = 1).": (
        "NLL des références en nats par jeton, plus bas c'est mieux. 1 : de la meilleure hypothèse pour chaque "
        "référence, que tout choix abaisse ; 2 : des K ensemble comme une seule distribution, la comparaison "
        "équitable avec un seul adaptateur (K = 1)."
    ),
    "hypotheses K →": "hypothèses K →",
    "K = {number}: best {best:.3f}, mixture {mixture:.3f}": (
        "K = {number} : meilleure {best:.3f}, mélange {mixture:.3f}"
    ),
    "Download these figures (CSV)": "Télécharger ces chiffres (CSV)",
    "system": "système",
    "best of K": "meilleure de K",
    "mean": "moyenne",
    "worst": "moins bonne",
    "mBLEU-4": "mBLEU-4",
    "kind of caption": "type de légende",
    "↑ better": "↑ mieux",
    "more diverse →": "plus divers →",
    "{number} {name}: best {best:.1f}, mean {mean:.1f}, diversity {diversity:.2f}": (
        "{number} {name} : meilleure {best:.1f}, moyenne {mean:.1f}, diversité {diversity:.2f}"
    ),
}
