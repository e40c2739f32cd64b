"""French: messages about files and settings that cannot be used."""

MESSAGES = {
    # Any file
    "Choose a picture first: upload or paste one, or click an example.": (
        "Choisissez d'abord une image : téléversez-en ou collez-en une, ou cliquez sur un exemple."
    ),
    "Choose a sound first: upload or record one, or click an example.": (
        "Choisissez d'abord un son : téléversez-en ou enregistrez-en un, ou cliquez sur un exemple."
    ),
    "The {noun} is too large: at most {most} MB.": "Fichier trop gros ({noun}) : au plus {most} Mo.",
    "{name} was not uploaded: upload the {noun} and send the path you get.": (
        "{name} n'a pas été téléversé ({noun}) : téléversez-le et envoyez le chemin obtenu."
    ),
    "The {noun} is not base64: send it as data:...;base64,...": (
        "Ce n'est pas du base64 ({noun}) : envoyez le fichier sous la forme data:…;base64,…"
    ),
    "Addresses are not fetched from here: upload the {noun}, or send it as data:...;base64,...": (
        "Les adresses ne sont pas téléchargées d'ici ({noun}) : téléversez le fichier ou envoyez-le sous la "
        "forme data:…;base64,…"
    ),
    # Batches
    "Choose files first: pictures, sounds, or a zip of them.": (
        "Choisissez d'abord des fichiers : images, sons, ou un zip."
    ),
    "There are {count} files, and a batch has at most {most}: send them in several batches.": (
        "Il y a {count} fichiers, et un lot en a au plus {most} : envoyez-les en plusieurs lots."
    ),
    "{name} is a damaged zip archive: pack it again and retry.": (
        "{name} est une archive zip endommagée : refaites-la et réessayez."
    ),
    "{name} holds no files: put pictures or sounds into it.": (
        "{name} ne contient aucun fichier : mettez-y des images ou des sons."
    ),
    "{name} is too large unpacked: at most {most} MB.": (
        "{name} est trop gros une fois décompressé : au plus {most} Mo."
    ),
    "This file is too large: at most {most} MB.": "Ce fichier est trop gros : au plus {most} Mo.",
    "This file is encrypted: pack it without a password.": "Ce fichier est chiffré : archivez-le sans mot de passe.",
    "This file is damaged in the archive: pack it again and retry.": (
        "Ce fichier est endommagé dans l'archive : refaites-la et réessayez."
    ),
    # Captions and settings
    "A caption is scored by one model at a time: choose one of them.": (
        "Une légende est évaluée par un modèle à la fois : choisissez-en un."
    ),
    "There is no model {name!r}; there are {known}.": "Il n'y a pas de modèle {name!r} ; il y a {known}.",
    "Model (model) must be one of {names}, not {value}.": "Modèle (model) doit être l'un de {names}, et non {value}.",
    "Columns (columns) must be a list such as {known}, not {value}.": (
        "Colonnes (columns) doit être une liste telle que {known}, et non {value}."
    ),
    "There is no column {id}; there are {known}.": "Il n'y a pas de colonne {id} ; il y a {known}.",
    "Choose at least one column.": "Choisissez au moins une colonne.",
    "start must be a second of the sound, not {start!r}.": (
        "Le début (start) doit être une seconde du son, et non {start!r}."
    ),
    "This {noun} is deleted from the server: choose it again.": (
        "Le fichier ({noun}) est supprimé du serveur : choisissez-le à nouveau."
    ),
    "This comparison cannot be restored: choose the {noun} again.": (
        "Cette comparaison ne peut pas être rétablie : choisissez à nouveau le fichier ({noun})."
    ),
    "{label} ({name}) must be a whole number from {low} to {high}, not {value}.": (
        "{label} ({name}) doit être un nombre entier de {low} à {high}, et non {value}."
    ),
    "{label} ({name}) must be a number from {low} to {high}, not {value}.": (
        "{label} ({name}) doit être un nombre de {low} à {high}, et non {value}."
    ),
}
