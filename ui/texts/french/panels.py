"""French: what is around the columns: slides, links, votes, a visitor's own caption, what was measured."""

PANELS = {
    # Slides and links
    "Slide (PNG)": "Diapositive (PNG)",
    "Slide (SVG)": "Diapositive (SVG)",
    "Compare captions first.": "Comparez d'abord les légendes.",
    "picture": "image",
    "sound": "son",
    "Link to this comparison": "Lien vers cette comparaison",
    "Link to these settings (your {noun} is not in it)": "Lien vers ces réglages (sans votre {noun})",
    "Copy link": "Copier le lien",
    "Copied.": "Copié.",
    "Copy the link by its menu.": "Copiez le lien par son menu.",
    "This link is for a tab that is not here: {tab!r}.": "Ce lien vise un onglet qui n'est pas ici : {tab!r}.",
    "There is no example {example!r} here any more: choose another.": (
        "L'exemple {example!r} n'est plus ici : choisissez-en un autre."
    ),
    "This link was made with the model {model}; this page runs {here}.": (
        "Ce lien a été fait avec le modèle {model} ; cette page emploie {here}."
    ),
    "Columns written with different settings have no link.": (
        "Des colonnes écrites avec des réglages différents n'ont pas de lien."
    ),
    # History
    "Compared on this visit": "Comparées pendant cette visite",
    "Show {name} again": "Revoir {name}",
    # Votes
    "Columns written with different settings are not voted on.": (
        "On ne vote pas sur des colonnes écrites avec des réglages différents."
    ),
    "Blind vote: captions without names first": "Vote à l'aveugle : d'abord les légendes sans noms",
    "Vote": "Vote",
    "The captions come here without names, when all of them are written.": (
        "Les légendes arrivent ici sans noms, une fois qu'elles sont toutes écrites."
    ),
    "Which caption would you keep?": "Quelle légende garderiez-vous ?",
    "Press its number, or click it. The names come after your vote.": (
        "Tapez son numéro ou cliquez dessus. Les noms viennent après votre vote."
    ),
    "You kept the caption of {writers}.": "Vous avez gardé la légende de : {writers}.",
    "No votes yet.": "Pas encore de vote.",
    "{low:.0%} to {high:.0%}": "{low:.0%} à {high:.0%}",
    "1 vote so far on this computer.": "1 vote jusqu'ici sur cet ordinateur.",
    "{votes} votes so far on this computer.": "{votes} votes jusqu'ici sur cet ordinateur.",
    "Columns that wrote the same words win together.": "Les colonnes qui ont écrit les mêmes mots gagnent ensemble.",
    "Column": "Colonne",
    "Kept": "Gardée",
    "Share": "Part",
    "95% interval (Wilson)": "Intervalle à 95 % (Wilson)",
    "All columns wrote the same: there is nothing to choose.": (
        "Toutes les colonnes ont écrit la même chose : il n'y a rien à choisir."
    ),
    # Your caption
    "Your caption: which hypothesis would win it?": "Votre légende : quelle hypothèse la remporterait ?",
    "Your caption": "Votre légende",
    "Type or paste a sentence about your {noun}, in any language, with a capital and a full stop as above": (
        "Tapez ou collez une phrase sur votre {noun}, dans n'importe quelle langue, avec majuscule et point comme "
        "ci-dessus"
    ),
    "Score": "Évaluer",
    "Score of your caption": "Évaluation de votre légende",
    "Training gives each caption mostly to the hypothesis under which it is likeliest (winner takes all): this "
    "one would go to <b>{winner}</b>.": (
        "L'entraînement donne surtout chaque légende à l'hypothèse selon laquelle elle est la plus probable (le "
        "gagnant emporte tout) : celle-ci irait à <b>{winner}</b>."
    ),
    "Under each word is its log-probability in nats: the stronger its colour, the less this system expected it "
    "after the words before. NLL is the sum with its sign turned; less is likelier.": (
        "Sous chaque mot figure sa log-probabilité en nats : plus sa couleur est forte, moins ce système "
        "l'attendait après les mots précédents. NLL est la somme changée de signe ; moins, c'est plus probable."
    ),
    "<b>{winner}</b> is the only hypothesis.": "<b>{winner}</b> est la seule hypothèse.",
    "Likeliest under <b>{winner}</b>, {margin:.1f} nats ahead of {second} ({mean:.2f} per token).": (
        "Elle est la plus probable selon <b>{winner}</b>, avec {margin:.1f} nats d'avance sur {second} "
        "({mean:.2f} par jeton)."
    ),
    "“{word}” (+{gain:.1f})": "« {word} » (+{gain:.1f})",
    "The words that decided: {words}.": "Les mots décisifs : {words}.",
    "winner": "gagnante",
    "baseline": "référence",
    "NLL {nll:.1f} nats · {mean:.2f} per token": "NLL {nll:.1f} nats · {mean:.2f} par jeton",
    "end": "fin",
    # What the model can do
    "What this model can and cannot do": "Ce que ce modèle sait faire et ne sait pas faire",
    "What it can do.": "Ce qu'il sait faire.",
    "What it cannot.": "Ce qu'il ne sait pas faire.",
    "This page runs {name}. Its model card says what it was trained on and how well it does.": (
        "Cette page emploie {name}. Sa fiche dit sur quoi il a été entraîné et ce qu'il vaut."
    ),
    "Captions are a model's guesses: they can be wrong, and sound sure all the same.": (
        "Les légendes sont les suppositions d'un modèle : elles peuvent être fausses tout en paraissant sûres."
    ),
    "It compares what the hypotheses of both models answer, such as before and after training.": (
        "Il compare ce que répondent les hypothèses des deux modèles, par exemple avant et après l'entraînement."
    ),
    "Their log-probabilities are those of different models: they cannot be compared with each other.": (
        "Leurs log-probabilités sont celles de modèles différents : elles ne se comparent pas entre elles."
    ),
    "It knows {vocabulary}{figures}.": "Il connaît {vocabulary}{figures}.",
    ", and one of its answers named the main thing in {named:.0%} of {photographs} photographs kept aside for "
    "testing": (
        ", et une de ses réponses a nommé l'essentiel dans {named:.0%} de {photographs} photographies réservées au test"
    ),
    ", and in {clips:,} clips of recordings kept aside for testing the best of its answers named the kind (an "
    "animal, a machine …) of {kinds:.0%} of the sounds, and {names:.0%} by name": (
        ", et dans {clips:,} extraits d'enregistrements réservés au test la meilleure de ses réponses a donné le "
        "genre (un animal, une machine …) de {kinds:.0%} des sons, et {names:.0%} par leur nom"
    ),
    "It does not read writing or know people, brands and actions, and it is wrong as confidently as it is right: "
    "expect less of your own pictures than of most examples, which it describes well.": (
        "Il ne lit pas l'écriture et ne connaît ni les gens, ni les marques, ni les actions, et il se trompe "
        "avec autant d'assurance qu'il a raison : attendez moins de vos images que de la plupart des exemples, "
        "qu'il décrit bien."
    ),
    "It does not understand speech or know songs and voices, and it takes sounds that it does not know for "
    "others, or names their kind only: expect less of your own recordings than of the examples, which it "
    "describes well.": (
        "Il ne comprend pas la parole et ne connaît ni chansons ni voix, et il prend les sons qu'il ne connaît "
        "pas pour d'autres, ou n'en donne que le genre : attendez moins de vos enregistrements que des exemples, "
        "qu'il décrit bien."
    ),
    "everyday things and places": "des choses et des lieux de tous les jours",
    "{concepts} everyday things and {places} places": "{concepts} choses de tous les jours et {places} lieux",
    "everyday sounds": "des sons de tous les jours",
    "{sounds} everyday sounds and {backgrounds} backgrounds": (
        "{sounds} sons de tous les jours et {backgrounds} fonds sonores"
    ),
    # Is it better?
    "Is it better than beam search?": "Est-ce mieux que la recherche en faisceau ?",
    "pictures": "images",
    "sounds": "sons",
    "Three captions of each of {count:,} test {noun}, composed by a program from material that no training saw; "
    "the baseline is one adapter, trained on the same captions.": (
        "Trois légendes pour chacun des {count:,} exemples de test ({noun}), composés par un programme à partir "
        "de matériaux qu'aucun entraînement n'a vus ; la référence est un seul adaptateur, entraîné sur les "
        "mêmes légendes."
    ),
    "Measure": "Mesure",
    "Differences under one point count as equal.": "Les écarts de moins d'un point comptent comme des égalités.",
    "All figures are in the Results tab": "Tous les chiffres sont dans l'onglet Résultats",
    "against {baseline}: better on {better} of {measures} measures, equal on {equal}, worse on {worse}": (
        "face à la {baseline} : mieux sur {better} mesures sur {measures}, égales sur {equal}, moins bien sur {worse}"
    ),
    "hypotheses better": "hypothèses meilleures",
    "equal": "égalité",
    "hypotheses worse": "hypothèses moins bonnes",
    "; ": " ; ",
    "against {baseline}’s first, {wins} wins, {ties} ties, {losses} losses": (
        "face à la première de la {baseline}, {wins} gagnées, {ties} égalités, {losses} perdues"
    ),
    "On {total} real photographs, the caption of objects names the main thing: {outcomes} (a tie: both name it, "
    "or neither).": (
        "Sur {total} vraies photographies, la légende des objets nomme l'essentiel : {outcomes} (égalité : "
        "toutes deux le nomment, ou aucune)."
    ),
    "The place is right in one of the three captions": "Le lieu est juste dans une des trois légendes",
    "Things that the best of the three names": "Choses que nomme la meilleure des trois",
    "Things that the average caption names": "Choses que nomme la légende moyenne",
    "Things that the worst of the three names": "Choses que nomme la moins bonne des trois",
    "The number of things is right, in the best of the three": (
        "Le nombre de choses est juste, dans la meilleure des trois"
    ),
    "The background is right in the best of the three captions": (
        "Le fond sonore est juste dans la meilleure des trois légendes"
    ),
    "Sounds whose family the best of the three names": "Sons dont la meilleure des trois nomme la famille",
    "Sounds whose family the average caption names": "Sons dont la légende moyenne nomme la famille",
    "Sounds whose family the worst of the three names": "Sons dont la moins bonne des trois nomme la famille",
    "Captions that say nothing wrong": "Légendes qui ne disent rien de faux",
    "Overlap of the three captions (mBLEU-4; less is more varied, and other languages overlap least)": (
        "Recouvrement des trois légendes (mBLEU-4 ; moins, c'est plus varié, et des langues différentes se "
        "recouvrent le moins)"
    ),
}
