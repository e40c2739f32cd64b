"""French: names and descriptions of columns, and of languages."""

COLUMNS = {
    "Hypothesis": "Hypothèse",
    "For comparison": "Pour comparer",
    "French, place and relations": "Français, lieu et relations",
    "Says in French where things are and how they stand.": (
        "Dit en français où sont les choses et comment elles sont disposées."
    ),
    "English, objects": "Anglais, objets",
    "Counts and names what is there, in a few English words.": (
        "Compte et nomme ce qui est là, en quelques mots d'anglais."
    ),
    "English, place and relations": "Anglais, lieu et relations",
    "Says in English where things are and how they stand.": (
        "Dit en anglais où sont les choses et comment elles sont disposées."
    ),
    "English, scene and mood": "Anglais, scène et ambiance",
    "Names place and mood in English.": "Nomme le lieu et l'ambiance en anglais.",
    "English, events": "Anglais, événements",
    "Names the events in English, in their order and number.": (
        "Nomme les événements en anglais, dans leur ordre et leur nombre."
    ),
    "French, events": "Français, événements",
    "Names the events in French, in their order and number.": (
        "Nomme les événements en français, dans leur ordre et leur nombre."
    ),
    "Beam search": "Recherche en faisceau",
    "Diverse beam search": "Recherche en faisceau diversifiée",
    "Sampling": "Échantillonnage",
    "Beam search (base)": "Recherche en faisceau (modèle de base)",
    "Diverse beam search (base)": "Recherche en faisceau diversifiée (modèle de base)",
    "Sampling (base)": "Échantillonnage (modèle de base)",
    "the base model alone": "le modèle de base seul",
    "The best captions that {beams} beams find with {used}.": (
        "Les meilleures légendes que trouve un faisceau de largeur {beams} avec {used}."
    ),
    "As many, in {groups} groups that a penalty keeps apart, with {used}.": (
        "Autant de légendes, en {groups} groupes qu'une pénalité écarte les uns des autres, avec {used}."
    ),
    "As many, in one group that no penalty divides, with {used}.": (
        "Autant de légendes, en un seul groupe qu'aucune pénalité ne divise, avec {used}."
    ),
    "Captions drawn at random with {used}.": "Légendes tirées au hasard avec {used}.",
    "(no words)": "(aucun mot)",
    # Languages
    " and ": " et ",
    "English": "anglais",
    "French": "français",
    "German": "allemand",
    "Spanish": "espagnol",
    "Italian": "italien",
    "Dutch": "néerlandais",
    "Portuguese": "portugais",
    "unknown": "inconnue",
}
