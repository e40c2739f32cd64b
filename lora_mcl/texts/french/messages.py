"""French: what is said of files and captions that cannot be used, or not as they are."""

MESSAGES = {
    # Any file
    "{path} is a folder: give a file.": "{path} est un dossier : donnez un fichier.",
    "There is no file {path}.": "Il n'y a pas de fichier {path}.",
    "{path} is an address, and files are not fetched from the network: download it first.": (
        "{path} est une adresse, et les fichiers ne sont pas pris sur le réseau : téléchargez-le d'abord."
    ),
    "{name} is empty: choose another file.": "{name} est vide : choisissez un autre fichier.",
    "{name} cannot be opened: {reason}.": "{name} ne peut pas être ouvert : {reason}.",
    "{name} is neither an image nor a sound that this program can read.": (
        "{name} n'est ni une image ni un son que ce programme sache lire."
    ),
    # Pictures
    "The image": "L'image",
    "{name} is not an image this program can read: give one as {formats}.": (
        "{name} n'est pas une image que ce programme sache lire : donnez-la en {formats}."
    ),
    "{name} is damaged or cut off ({reason}): save it again and retry.": (
        "{name} est endommagé ou tronqué ({reason}) : enregistrez-le à nouveau et réessayez."
    ),
    "{name} is too large: at most {most} million pixels. Scale it down and retry.": (
        "{name} est trop grand : au plus {most} millions de pixels. Réduisez-le et réessayez."
    ),
    "{name} is too small ({width} x {height}): each side needs {least} pixels.": (
        "{name} est trop petit ({width} x {height}) : il faut {least} pixels de chaque côté."
    ),
    "{name} is too narrow ({width} x {height}): crop it to at most {most} to 1.": (
        "{name} est trop étroit ({width} x {height}) : recadrez-le à {most} pour 1 au plus."
    ),
    "{name} is one colour throughout: choose a picture that shows something.": (
        "{name} est d'une seule couleur : choisissez une image qui montre quelque chose."
    ),
    "{name} looks black: its largest value is below {limit} of 255.": (
        "{name} paraît noir : sa plus grande valeur est inférieure à {limit} sur 255."
    ),
    "{name} has values that are no numbers: they were taken for black.": (
        "{name} contient des valeurs qui ne sont pas des nombres : elles ont été prises pour du noir."
    ),
    "{name} holds values from {low:g} to {high:g} and does not state their range: {black:g} to {white:g} was "
    "taken for black to white.": (
        "{name} contient des valeurs de {low:g} à {high:g} sans indiquer leur étendue : {black:g} à {white:g} a "
        "été pris pour l'intervalle du noir au blanc."
    ),
    # Sounds
    "The clip": "L'extrait",
    "start must be a number of seconds from 0 to {last:.1f}, not {start!r}.": (
        "Le début (start) doit être un nombre de secondes de 0 à {last:.1f}, et non {start!r}."
    ),
    "{name} is silent: choose another sound, or another part of it.": (
        "{name} est silencieux : choisissez un autre son, ou une autre partie de celui-ci."
    ),
    "{name} is silent from second {start:.1f} to {end:.1f}: choose another sound, or another part of it.": (
        "{name} est silencieux de la seconde {start:.1f} à {end:.1f} : choisissez un autre son, ou une autre "
        "partie de celui-ci."
    ),
    "{name} is too short ({seconds:.2f} s): at least {least} s are needed.": (
        "{name} est trop court ({seconds:.2f} s) : il faut au moins {least} s."
    ),
    "{name} is damaged (it has samples that are no numbers): save it again and retry.": (
        "{name} est endommagé (certains échantillons ne sont pas des nombres) : enregistrez-le à nouveau et réessayez."
    ),
    "{name} is damaged or cut off: save it again and retry.": (
        "{name} est endommagé ou tronqué : enregistrez-le à nouveau et réessayez."
    ),
    "{name} is longer than {minutes} minutes: cut out the part you want.": (
        "{name} dure plus de {minutes} minutes : découpez la partie voulue."
    ),
    "{name} is longer than {minutes:.2g} minutes at {rate} Hz: cut out the part you want, or save it at 48000 Hz.": (
        "{name} dure plus de {minutes:.2g} minutes à {rate} Hz : découpez la partie voulue ou enregistrez-le à "
        "48000 Hz."
    ),
    "{name} has a sampling rate of {rate} Hz: save it again at 44100 Hz or so.": (
        "{name} est échantillonné à {rate} Hz : enregistrez-le à nouveau à 44100 Hz environ."
    ),
    "{name} is not a sound this program can read: give it as {formats} or similar.": (
        "{name} n'est pas un son que ce programme sache lire : donnez-le en {formats} ou dans un format voisin."
    ),
    "{name} holds no sound: choose another file.": "{name} ne contient aucun son : choisissez un autre fichier.",
    "{name} has no sound in it: choose another file.": "{name} n'a pas de piste sonore : choisissez un autre fichier.",
    "Only {read:.1f} of the {stated:.1f} s that {name} states could be read.": (
        "Seules {read:.1f} des {stated:.1f} s annoncées par {name} ont pu être lues."
    ),
    # The model's input
    "The model takes second {start:.1f} to {end:.1f} of this sound's {duration:.1f}.": (
        "Le modèle prend les secondes {start:.1f} à {end:.1f} de ce son, qui en dure {duration:.1f}."
    ),
    # Several files
    "This is a file of sounds, and there is only a model for pictures here.": (
        "C'est un fichier de sons, et il n'y a ici qu'un modèle pour les images."
    ),
    "This is a file of pictures, and there is only a model for sounds here.": (
        "C'est un fichier d'images, et il n'y a ici qu'un modèle pour les sons."
    ),
    "Something went wrong with this file. Please try it alone.": (
        "Un problème est survenu avec ce fichier. Essayez-le seul."
    ),
    # Captions that are scored
    "The caption must be text, not {kind}.": "La légende doit être du texte, et non {kind}.",
    "The caption is empty: type a few words.": "La légende est vide : tapez quelques mots.",
    "The caption is too long: at most {most} tokens, about 150 words, can be scored.": (
        "La légende est trop longue : on peut évaluer au plus {most} jetons, environ 150 mots."
    ),
    "The caption {caption!r} contains {word!r}, which the model takes for a command": (
        "La légende {caption!r} contient {word!r}, que le modèle prend pour une commande"
    ),
    "A prompt of {length} positions and a caption of {count} tokens are too long for the model, which has "
    "{positions} positions: shorten the caption.": (
        "Une consigne de {length} positions et une légende de {count} jetons sont trop longues pour le modèle, "
        "qui a {positions} positions : raccourcissez la légende."
    ),
    "The model's vocabulary has no {signs}: its scores of words with it mean little.": (
        "Le vocabulaire du modèle n'a pas {signs} : ce qu'il dit des mots qui en contiennent ne signifie pas "
        "grand-chose."
    ),
}
