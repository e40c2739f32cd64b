"""French: the captioning tabs."""

CAPTIONS = {
    # The medium and its buttons
    "Your picture": "Votre image",
    "Drop a picture here, paste one, or click to choose": (
        "Déposez une image ici, collez-en une ou cliquez pour choisir"
    ),
    "The picture to be captioned": "L'image à légender",
    "Your sound": "Votre son",
    "Listen from second": "Écouter à partir de la seconde",
    "Your sound is longer than the model's input": "Votre son dépasse la durée que le modèle entend d'un coup",
    "Compare captions": "Comparer",
    "Stop": "Arrêter",
    "Or try one of these": "Ou essayez l'un de ces exemples",
    # What the model hears
    "The model's input": "L'entrée du modèle",
    "time to the right, pitch upwards ({lowest} to {highest}), louder is stronger": (
        "le temps vers la droite, la hauteur vers le haut ({lowest} à {highest}), plus fort est plus marqué"
    ),
    "Log-mel spectrogram from second {start} to {end}: time runs to the right, pitch upwards from {lowest} to "
    "{highest}, and what is louder is stronger": (
        "Spectrogramme log-mel de la seconde {start} à {end} : le temps va vers la droite, la hauteur vers le "
        "haut de {lowest} à {highest}, et ce qui est plus fort est plus marqué"
    ),
    # Settings
    "Settings": "Réglages",
    "Beams": "Largeur du faisceau",
    "How many captions each baseline keeps, and lists": "Combien de légendes chaque référence garde et affiche",
    "Groups": "Groupes",
    "Diverse beam search splits the beams into equal groups": (
        "La recherche diversifiée répartit le faisceau en groupes égaux"
    ),
    "Diversity penalty": "Pénalité de diversité",
    "How strongly a group avoids words that earlier groups chose": (
        "Avec quelle force un groupe évite les mots des groupes précédents"
    ),
    "Beams per hypothesis": "Largeur par hypothèse",
    "1 writes the likeliest word at every step": "1 écrit à chaque pas le mot le plus probable",
    "Samples": "Tirages",
    "Captions drawn at random, in a column of their own; 0 leaves it out": (
        "Légendes tirées au hasard, dans leur propre colonne ; 0 l'omet"
    ),
    "Longest caption": "Longueur maximale",
    "In tokens, which are words or parts of words": "En jetons, qui sont des mots ou des parties de mots",
    "{beams} beams cannot be {groups} equal groups: Groups is {fitted} now.": (
        "Un faisceau de largeur {beams} ne se divise pas en {groups} groupes égaux : Groupes vaut maintenant {fitted}."
    ),
    # Columns
    "Captions": "Légendes",
    "Looking at the picture …": "Examen de l'image …",
    "Listening …": "Écoute …",
    "Predicted before anything was written: how likely this hypothesis fits best of all": (
        "Prédit avant le premier mot : la probabilité que cette hypothèse convienne le mieux"
    ),
    "Most likely: {share:.0%}": "La plus probable : {share:.0%}",
    "{count} times": "{count} fois",
    "Candidates with this wording": "Candidates ainsi formulées",
    "Translation:": "Traduction :",
    "Copy": "Copier",
    "Copy this caption": "Copier cette légende",
    "Copied": "Copiée",
    "Selected": "Sélectionnée",
    "Stopped": "Arrêtée",
    "Provisional": "Provisoire",
    "The best so far: the search may still replace them": (
        "Les meilleures jusqu'ici : la recherche peut encore les remplacer"
    ),
    "{count} tokens": "{count} jetons",
    "({mean} per token)": "({mean} par jeton)",
    "The captions are in this order": "Les légendes sont dans cet ordre",
    "{count} candidates, 1 wording": "{count} candidates, 1 formulation",
    "Redo": "Refaire",
    "Write this column alone again, with the settings as they are now": (
        "Réécrire cette seule colonne, avec les réglages actuels"
    ),
    "Unsure.": "Peu sûr.",
    "Right about the main thing in {right} of {total} test photographs like this.": (
        "L'essentiel était juste sur {right} des {total} photographies de test semblables."
    ),
    "Where the candidates of beam search agree as little as here, this hypothesis named the main thing in "
    "{doubted_right} of {doubted} test photographs; where they agree more, in {sure_right} of {sure}.": (
        "Là où les candidates de la recherche en faisceau s'accordent aussi peu qu'ici, cette hypothèse nommait "
        "l'essentiel sur {doubted_right} des {doubted} photographies de test ; là où elles s'accordent "
        "davantage, sur {sure_right} des {sure}."
    ),
    "So unlikely a caption named the main thing in {doubted_right} of {doubted} test photographs; a likelier one "
    "in {sure_right} of {sure}.": (
        "Une légende aussi improbable nommait l'essentiel sur {doubted_right} des {doubted} photographies de "
        "test ; une plus probable, sur {sure_right} des {sure}."
    ),
    "{label} · {model}": "{label} · {model}",
    "Samples is 0: ask for at least one first.": "Tirages est à 0 : demandez-en d'abord au moins un.",
    "With the same settings this column is written the same: change one first, such as {setting}.": (
        "Avec les mêmes réglages, cette colonne s'écrit à l'identique : changez-en d'abord un, comme {setting}."
    ),
    "Shown at once: these captions were written before.": "Affichées aussitôt : ces légendes avaient déjà été écrites.",
    "Columns": "Colonnes",
    "Which answers to compare": "Quelles réponses comparer",
    "Temperature": "Température",
    "Of the samples: higher draws unlikely words more often": (
        "Des tirages : plus haute, elle tire plus souvent des mots improbables"
    ),
    "Seed": "Graine",
    "Of the samples: with the same one the same captions are drawn": (
        "Des tirages : avec la même, les mêmes légendes sont tirées"
    ),
    "Model": "Modèle",
    "{count} candidates, {wordings} wordings": "{count} candidates, {wordings} formulations",
    "Show differences: words of all columns fade, words of one alone are underlined": (
        "Montrer les différences : les mots de toutes les colonnes s'estompent, ceux d'une seule sont soulignés"
    ),
    "From {low} to {high}: {value} became {bound}.": "De {low} à {high} : {value} est devenu {bound}.",
    "From {low} to {high}: it is {bound} now.": "De {low} à {high} : c'est {bound} maintenant.",
    # Status
    "One moment …": "Un instant …",
    "Writing captions …": "Écriture des légendes …",
    "The models are loading …": "Chargement des modèles …",
    "Done in {seconds:.1f} s.": "Terminé en {seconds:.1f} s.",
    "Stopped after {seconds:.1f} s.": "Arrêté après {seconds:.1f} s.",
    "Stopped.": "Arrêté.",
    "What had been written stays.": "Ce qui était écrit reste.",
    "This could not be captioned now.": "Impossible de légender cela pour l'instant.",
    "Too many visitors just now: please try again in a minute.": (
        "Trop de visiteurs en ce moment : réessayez dans une minute."
    ),
    "Something went wrong here. Please try again.": "Un problème est survenu ici. Veuillez réessayer.",
    "Error": "Erreur",
    # How different the answers are
    "How different the captions are": "À quel point les légendes diffèrent",
    "How different are the answers?": "Les réponses sont-elles différentes ?",
    "Different wordings": "Formulations différentes",
    "more is more varied": "plus il y en a, plus c'est varié",
    "Languages": "Langues",
    "Shared content words": "Mots pleins partagés",
    "within one language; lower is more varied": "au sein d'une langue ; plus c'est bas, plus c'est varié",
    "{count} hypotheses": "{count} hypothèses",
    "the hypotheses": "les hypothèses",
    "1 caption": "1 légende",
    "first {count}": "{count} premières",
    "best {count}": "{count} meilleures",
    "{count} of {total}": "{count} sur {total}",
    "Compared with <b>{baseline}</b>, the hypotheses have {outcome}.": (
        "Face à « <b>{baseline}</b> », les hypothèses ont {outcome}."
    ),
    "as many wordings ({one})": "autant de formulations ({one})",
    "more wordings ({one} against {two})": "plus de formulations ({one} contre {two})",
    "fewer wordings ({one} against {two})": "moins de formulations ({one} contre {two})",
    "as many shared words ({one}%)": "autant de mots partagés ({one} %)",
    "more shared words ({one}% against {two}%)": "plus de mots partagés ({one} % contre {two} %)",
    "fewer shared words ({one}% against {two}%)": "moins de mots partagés ({one} % contre {two} %)",
    "The two hypotheses differ in language": "Les deux hypothèses sont dans des langues différentes",
    "{across} of the {pairs} pairs of hypotheses differ in language": (
        "{across} des {pairs} paires d'hypothèses mêlent deux langues"
    ),
    ", and a translation has other words with the same meaning: shared words are counted within one language only.": (
        ", et une traduction change les mots sans rien dire d'autre : les mots partagés ne sont comptés qu'au "
        "sein d'une langue."
    ),
    "The paper’s measures": "Les mesures de l'article",
    "Counted over all captions, in any language; of captions under four words, mBLEU-4 compares the longest word "
    "groups there are.": (
        "Calculées sur toutes les légendes, quelle que soit leur langue ; pour les légendes de moins de quatre "
        "mots, mBLEU-4 compare les plus longs groupes de mots qui existent."
    ),
    "distinct words, higher is more varied": "mots distincts, plus c'est haut, plus c'est varié",
    "distinct word pairs, higher is more varied": "paires de mots distinctes, plus c'est haut, plus c'est varié",
    "overlap of word groups, lower is more varied": (
        "recouvrement des groupes de mots, plus c'est bas, plus c'est varié"
    ),
}
