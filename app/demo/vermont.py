"""Vermont's vocabulary, for a world that looks real: names, licences, endorsements, jobs.

Content areas and their numbers are the state's own. Of the instructional levels only 2 (grades 7-12)
is taken from it; the others are plausible stand-ins, as are all weights: this is a demo, not a census.
"""

from typing import NamedTuple

_FIRST_NAMES = """
Aaron Abigail Adam Aidan Alexander Alice Allison Amanda Amelia Andrew Angela Anna Anne-Marie Anthony
Antoine Arthur Audrey Barbara Beatrice Benjamin Beth Brandon Brian Bridget Brooke Caitlin Caleb Carol
Caroline Catherine Cécile Charles Charlotte Chloé Christine Christopher Claire Colleen Craig Crystal
Cynthia Daniel David Dawn Deborah Denise Derek Diane Donald Donna Dorothy Douglas Dylan Edward Eleanor
Elizabeth Ellen Emily Emma Eric Erin Ethan Evan Evelyn Faith Frances François Gabriel Genevieve George
Gerald Grace Gregory Hannah Harold Heather Heidi Helen Henry Hillary Holly Ian Irene Isaac Jacob
Jacqueline James Janet Jason Jean-Paul Jennifer Jeremy Jessica Joan Joanne John Jonathan Joseph Josée
Joshua Joyce Judith Julia Julie Justin Karen Katherine Kathleen Keith Kelly Kenneth Kevin Kimberly Kristin
Kyle Laura Lauren Leah Leo Linda Lisa Lori Lucas Lydia Madeleine Marc Marcel Margaret Maria Marie Mark
Martha Martin Mary Matthew Megan Melissa Mercy Meredith Michael Michelle Molly Monique Nancy Natalie
Nathan Nicholas Nicole Noah Nora Olivia Owen Pamela Patricia Patrick Paul Paula Peter Philip Phoebe Rachel
Ralph Raymond Rebecca Renée Richard Robert Robin Roger Rosa Rose Russell Ruth Ryan Samantha Samuel Sandra
Sarah Scott Sean Sharon Shawn Sheila Shirley Simone Sophie Stephanie Stephen Susan Suzanne Sylvie Tara
Teresa Theodore Theresa Thomas Timothy Tracy Tyler Valerie Vanessa Victoria Vincent Virginia Walter Wanda
Wendy Wesley William Yvonne Zachary Zoë
"""
FIRST_NAMES = tuple(_FIRST_NAMES.split())

NICKNAMES = {
    "Alexander": "Alex", "Andrew": "Drew", "Anthony": "Tony", "Barbara": "Barb", "Benjamin": "Ben",
    "Catherine": "Cathy", "Christopher": "Chris", "Daniel": "Dan", "Deborah": "Deb", "Edward": "Ed",
    "Elizabeth": "Liz", "Gregory": "Greg", "Jacqueline": "Jackie", "James": "Jim", "Jennifer": "Jen",
    "Jonathan": "Jon", "Joseph": "Joe", "Joshua": "Josh", "Katherine": "Kate", "Kenneth": "Ken",
    "Kimberly": "Kim", "Margaret": "Peg", "Matthew": "Matt", "Michael": "Mike", "Nicholas": "Nick",
    "Patricia": "Patty", "Rebecca": "Becky", "Richard": "Rick", "Robert": "Bob", "Samantha": "Sam",
    "Stephen": "Steve", "Susan": "Sue", "Theodore": "Ted", "Thomas": "Tom", "Timothy": "Tim",
    "Victoria": "Vicky", "William": "Bill", "Zachary": "Zach",
}  # fmt: skip
"""Legal first name -> the one that a SIS shows."""

_LAST_NAMES = """
Abbott Abdi Adams Aiken Allard Allen Arsenault Atwood Audet Austin Ayer Bailey Baker Barrett Bartlett
Bassett Bean Beaulieu Bélanger Benoit Bergeron Berry Bessette Bhattarai Bishop Blair Blais Blake Blanchard
Bolduc Bouchard Boucher Boudreau Boyce Bradley Brigham Brown Bruce Burke Burnham Bushey Butler Cabot
Cadieux Calkins Campbell Carpenter Carrier Chamberlain Chandler Chaplin Charbonneau Chase Chittenden
Choquette Clark Cloutier Cobb Colburn Cole Collins Comolli Cook Corey Corriveau Côté Couture Crandall
Cross Currier Cushing Cyr D'Amico Daigle Dana Davis Delisle Demers Desautels Deschênes Desrochers Dewey
Dion Doyle Drown Dubois Duffy Dunham Duquette Durkee Eastman Eaton Edson Ellis Emerson Fairbanks Farnham
Farrell Fecteau Fitzgerald Flanders Fleury Fontaine Fortin Foster Fournier French Gagné Gagnon Gallagher
García Gauthier Gendron Gilbert Giroux Goodrich Gould Goyette Granger Graves Greene Grenier Guilmette Hale
Hall Harrington Hassan Hathaway Hayes Hebert Hill Houle Howard Hubbard Hutchins Jarvis Jensen Johnson
Jones Kelley Kennedy King Kowalski LaBonté Labrecque LaFountain Lamoureux Lamphere Langlois Lapierre
Laplante Laroche Larrabee Lavallée LeBlanc LeClair Leduc Lefebvre Lemieux Letourneau Lewis Livingston
Longley Lussier Lyford MacDonald Maguire Marcotte Marsh Martell Mayhew Maynard McAllister McCarthy McGrath
McKenzie Mercier Messier Michaud Miller Mills Moody Morin Morrill Morse Müller Murphy Nadeau Nelson Newton
Nguyen Nichols Norris Noyes O'Brien O'Connor O'Neill Orvis Ouellette Page Paquette Parent Parker Patel
Patenaude Peck Pelletier Perkins Perrault Phelps Pike Plante Pomerleau Potter Poulin Powers Pratt Prescott
Proctor Provost Putnam Quesnel Rai Randall Raymond Reed Richards Ricker Robitaille Rossi Rousseau Rowell
Roy Russell Ryan Sanborn Savoie Sawyer Scott Shattuck Shaw Sheldon Simard Slayton Smith Snow Spaulding
Stafford Stearns Stebbins Stevens Stone Stowe Sullivan Sweeney Taft Tatro Tetreault Thibault Thomas
Thompson Thurston Tremblay Trombley Trudeau Turgeon Tuttle Vachon Viens Wade Walker Warner Waterman
Webster Wheelock White Whitcomb Whitney Wilcox Willard Williams Wilson Wood Woodward Wright Young
"""
LAST_NAMES = (*_LAST_NAMES.split(), "Da Silva", "De La Cruz", "St. Pierre", "Van Dyke")

SONS = frozenset(
    {"Charles", "Edward", "George", "Henry", "James", "Joseph", "Paul", "Robert", "Thomas", "William"}
)
SUFFIXES = ("Jr.", "Jr.", "Sr.", "III")
"""Given to the names in `SONS` only."""


class LicenceType(NamedTuple):
    """A kind of licence, its term in years and how common it is."""

    name: str
    term: int
    weight: int


LICENCE_TYPES = (
    LicenceType("Level II", 5, 62),
    LicenceType("Level I", 3, 26),
    LicenceType("Provisional", 2, 5),
    LicenceType("Retired", 5, 3),
    LicenceType("Emergency", 1, 2),
    LicenceType("Apprenticeship", 3, 2),
)

LIMITATIONS = (
    "Limited to grades 9-12",
    "Valid only in the employing district",
    "Half time, under mentorship",
    'Instruction in "Spanish" only',
    "Renewal requires: coursework, portfolio",
    "Restricted to Biology\r\nand Environmental Science",
)

LEVELS = {
    "1": "grades K-6",
    "2": "grades 7-12",
    "3": "grades PK-12",
    "4": "grades 5-9",
    "5": "birth to grade 3",
}

CONTENT_AREAS = {
    "00": ("Elementary Education", "1"), "02": ("Art", "123"), "03": ("Business Education", "2"),
    "05": ("English", "2"), "06A": ("French", "23"), "06B": ("Spanish", "23"), "06E": ("Latin", "2"),
    "08": ("Physical Education", "123"), "09": ("Family and Consumer Sciences", "2"),
    "10": ("Design and Technology", "2"), "11": ("Mathematics", "24"), "12": ("Music", "123"),
    "13": ("Science", "24"), "14": ("Computer Science", "3"), "15": ("Social Studies", "24"),
    "17": ("Trades and Industry", "2"), "19": ("Middle Grades", "4"), "30": ("Driver Education", "2"),
    "31": ("Health Education", "123"), "36": ("Early Childhood Educator", "5"), "37": ("Theatre Arts", "3"),
    "38": ("Dance", "3"), "40": ("English as a Second Language", "3"), "42": ("Educational Technology", "3"),
    "54": ("School Social Worker", "3"), "60": ("Work-based Learning", "2"), "61": ("Library Media", "3"),
    "64": ("School Counselor", "3"), "65": ("School Nurse", "3"), "65A": ("Associate School Nurse", "3"),
    "66": ("School Psychologist", "3"), "67": ("Blind and Visually Impaired", "3"),
    "68": ("Deaf and Hard of Hearing", "3"), "76": ("Reading Specialist", "3"),
    "80": ("Early Childhood Special Educator", "5"), "81": ("Intensive Special Needs", "3"),
    "82": ("Special Educator", "12"), "84": ("Speech Language Pathologist", "3"),
    "85": ("Consulting Teacher", "3"),
}  # fmt: skip
"""Number -> title, and the instructional levels at which it is taught here."""


class Job(NamedTuple):
    """A job class: whether the law asks for a licence, the content areas of its people, how common it is."""

    code: str
    title: str
    certification_required: bool
    areas: tuple[str, ...]
    weight: int


JOBS = (
    Job("TCH-EL", "Elementary Teacher", True, ("00", "76", "40", "19"), 24),
    Job("TCH-EC", "Early Childhood Teacher", True, ("36", "80"), 5),
    Job("TCH-HUM", "Humanities Teacher", True, ("05", "15", "19", "40"), 9),
    Job("TCH-STEM", "Mathematics and Science Teacher", True, ("11", "13", "14", "19"), 10),
    Job("TCH-LANG", "World Language Teacher", True, ("06A", "06B", "06E", "40"), 4),
    Job("TCH-ART", "Arts Teacher", True, ("02", "12", "37", "38"), 5),
    Job("TCH-PE", "Physical and Health Education Teacher", True, ("08", "31", "30"), 4),
    Job("TCH-CTE", "Career and Technical Teacher", True, ("03", "09", "10", "17", "60"), 4),
    Job("SPED", "Special Educator", True, ("82", "81", "85", "67", "68"), 8),
    Job("SLP", "Speech Language Pathologist", True, ("84",), 2),
    Job("COUNS", "School Counselor", True, ("64", "54", "66"), 3),
    Job("NURSE", "School Nurse", True, ("65", "65A"), 1),
    Job("LIBR", "Library Media Specialist", True, ("61", "42"), 1),
    Job("PARA", "Paraeducator", False, (), 8),
    Job("CUST", "Custodian", False, (), 4),
    Job("BUS", "Bus Driver", False, (), 3),
    Job("FOOD", "Food Service Worker", False, (), 3),
    Job("ADMIN", "Administrative Assistant", False, (), 2),
)

TEACHING_JOBS = tuple(job for job in JOBS if job.areas)
