# ruff: noqa: E501  (a list is a line)
"""Words whose exchange changes what is asked: closed lists of English, written for the guard. Nothing here was learnt
from a data set.
"""

from collections.abc import Iterable, Mapping, Sequence

NEGATIONS = frozenset(
    [
        "not",
        "no",
        "never",
        "none",
        "neither",
        "nor",
        "nobody",
        "nothing",
        "nowhere",
        "without",
        "cannot",
        "cant",
        "dont",
        "doesnt",
        "didnt",
        "wont",
        "wouldnt",
        "isnt",
        "arent",
        "wasnt",
        "werent",
        "hasnt",
        "havent",
        "hadnt",
        "shouldnt",
        "couldnt",
        "mustnt",
        "aint",
        "unable",
        "hardly",
        "barely",
        "rarely",
        "seldom",
        "except",
        "excluding",
        "lacking",
        "lacks",
        "lack",
        "stop",
        "stopped",
        "avoid",
        "refuse",
        "refused",
        "fail",
        "failed",
        "fails",
        "prevent",
    ]
)

_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBER_WORDS: Mapping[str, float] = (
    {word: float(value) for value, word in enumerate(_NUMBERS)}
    | {word: 10.0 * (at + 2) for at, word in enumerate(_TENS)}
    | {"dozen": 12.0, "half": 0.5, "quarter": 0.25, "double": 2.0, "twice": 2.0, "triple": 3.0, "thrice": 3.0}
    | {"once": 1.0, "single": 1.0, "pair": 2.0, "couple": 2.0, "third": 3.0, "fourth": 4.0, "fifth": 5.0}
)
MULTIPLIERS: Mapping[str, float] = {
    "hundred": 1e2,
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "m": 1e6,
    "mn": 1e6,
    "billion": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
}


def _units(**groups: str) -> dict[str, tuple[str, float]]:
    """`unit factor` pairs by dimension, as one table: word -> dimension, size in the dimension's own unit."""
    table: dict[str, tuple[str, float]] = {}
    for dimension, listed in groups.items():
        for item in listed.split():
            words, factor = item.rsplit("=", 1)
            for word in words.split(","):
                table[word] = (dimension, float(factor))
    return table


UNITS = _units(
    time=(
        "millisecond,milliseconds,ms=0.001 second,seconds,sec,secs=1 minute,minutes,min,mins=60 hour,hours,hr,hrs=3600 "
        "day,days=86400 week,weeks,wk,wks=604800 fortnight=1209600"
    ),
    months="month,months=1 year,years,yr,yrs=12 decade,decades=120 century,centuries=1200",
    length=(
        "mm,millimeter,millimeters,millimetre,millimetres=0.001 cm,centimeter,centimeters,centimetre,centimetres=0.01 "
        "meter,meters,metre,metres=1 km,kilometer,kilometers,kilometre,kilometres,kms=1000 inch,inches=0.0254 "
        "foot,feet,ft=0.3048 yard,yards=0.9144 mile,miles=1609.344"
    ),
    mass=(
        "mg,milligram,milligrams=0.001 gram,grams=1 kg,kilo,kilos,kilogram,kilograms,kgs=1000 ton,tons,tonne,tonnes=1e6 "
        "ounce,ounces,oz=28.35 pound_weight,lb,lbs=453.6 stone=6350"
    ),
    volume=(
        "ml,milliliter,milliliters,millilitre,millilitres=0.001 liter,liters,litre,litres=1 gallon,gallons=3.785 "
        "pint,pints=0.473 quart,quarts=0.946 cup,cups=0.24 teaspoon,teaspoons,tsp=0.005 tablespoon,tablespoons,tbsp=0.015"
    ),
    bytes="byte,bytes=1 kb,kilobyte,kilobytes=1e3 mb,megabyte,megabytes=1e6 gb,gigabyte,gigabytes,gigs=1e9 tb,terabyte,terabytes=1e12",
    bits="bit,bits=1 kbps=1e3 mbps=1e6 gbps=1e9",
    power="watt,watts=1 kw,kilowatt,kilowatts=1e3 mw,megawatt,megawatts=1e6 kwh=3.6e6 volt,volts=7 amp,amps=8",
    frequency="hz,hertz=1 khz=1e3 mhz=1e6 ghz=1e9",
    celsius="celsius,centigrade=1",
    fahrenheit="fahrenheit=1",
    percent="percent,percentage,pct,%=1",
)

# Of each list a question may name one, and another that names a different one asks something else. `a/b` are one thing.
_SIBLINGS = """
monday/mon tuesday/tue/tues wednesday/wed thursday/thu/thurs friday/fri saturday sunday weekend/weekends weekday/weekdays
january/jan february/feb april/apr june/jun july/jul august/aug september/sept/sep october/oct november/nov december/dec
spring summer autumn/fall winter
today/tonight tomorrow yesterday now/currently
morning afternoon evening night midnight noon
dollar/dollars/usd/$ euro/euros/eur/€ pound/pounds/gbp/£/sterling/quid yen/jpy/¥ franc/francs/chf rupee/rupees/inr/₹ yuan/rmb/cny peso/pesos/mxn aud cad krona/kronor/sek nok dkk zloty/pln rouble/ruble/rubles/rub won/krw real/brl lira/try rand/zar bitcoin/btc ethereum/eth litecoin/ltc dogecoin
cent/cents/penny/pence dollar/dollars euro/euros pound/pounds rupee/rupees
daily weekly monthly quarterly yearly/annually/annual hourly fortnightly/biweekly
visa mastercard amex discover maestro
paypal venmo stripe klarna zelle
iphone/ios android blackberry
windows mac/macos/macbook linux/ubuntu chromebook
chrome firefox safari edge opera
word excel powerpoint outlook
gmail yahoo hotmail
facebook twitter instagram tiktok snapchat whatsapp linkedin youtube reddit telegram pinterest
google microsoft apple amazon meta netflix openai anthropic nvidia
python java javascript typescript rust ruby php perl kotlin swift scala golang c++ c# haskell
mysql postgres/postgresql mongodb sqlite oracle redis cassandra dynamodb
aws azure gcp
pdf csv json xml docx xlsx png jpeg/jpg gif mp3 mp4 html
english french german spanish italian portuguese chinese/mandarin japanese korean arabic hindi russian dutch turkish greek polish swedish latin hebrew
america/usa/us/american/states uk/britain/british/england canada/canadian mexico/mexican france germany spain italy portugal china japan korea india/indian russia brazil/brazilian australia/australian ireland/irish scotland/scottish wales switzerland/swiss austria/austrian sweden norway/norwegian denmark/danish finland/finnish poland turkey greece egypt/egyptian nigeria/nigerian kenya/kenyan pakistan/pakistani argentina chile colombia peru vietnam/vietnamese thailand/thai indonesia/indonesian singapore malaysia philippines/filipino
london paris berlin madrid rome tokyo beijing delhi mumbai sydney melbourne toronto chicago boston seattle dallas houston miami dublin vienna zurich amsterdam brussels lisbon moscow dubai istanbul athens oslo stockholm copenhagen helsinki warsaw prague budapest
europe asia africa antarctica oceania
red blue green yellow black white purple orange pink brown grey/gray silver golden
basic bronze silver gold platinum diamond premium freemium pro standard enterprise free starter plus
debit credit prepaid
checking/current savings
dog/dogs/puppy cat/cats/kitten horse/horses bird/birds rabbit/rabbits fish hamster/hamsters
chicken beef pork lamb turkey salmon tuna shrimp/prawns tofu
breakfast lunch dinner/supper
coffee tea beer wine water juice milk
car/cars/automobile truck/trucks motorcycle/motorcycles/motorbike bicycle/bike/bikes bus/buses train/trains plane/planes/flight/flights boat/boats/ship
mother/mom/mum/mothers father/dad/fathers brother/brothers sister/sisters son/sons daughter/daughters uncle aunt cousin grandmother/grandma grandfather/grandpa nephew niece
husband wife
he/him/his she/her/hers
man/men/male/males woman/women/female/females
boy/boys girl/girls
adult/adults child/children/kid/kids baby/babies/infant/infants teenager/teenagers/teen
student/students teacher/teachers
employee/employees employer/employers
buyer/buyers/customer seller/sellers/vendor
landlord/landlords tenant/tenants
doctor/doctors nurse/nurses dentist/dentists lawyer/lawyers
christian/christians/christianity muslim/muslims/islam jewish/jew/jews hindu/hindus/hinduism buddhist/buddhists buddhism
north/northern south/southern east/eastern west/western
left right
email/e-mail phone/telephone post
sms/text whatsapp
email password username pin address surname birthday
admin/administrator/administrators guest/guests owner/owners member/members viewer/viewers editor/editors
read/reading write/writing
type1 type2
he she
mercury venus earth mars jupiter saturn uranus neptune pluto
physics chemistry biology mathematics/math/maths history geography
football/soccer basketball baseball tennis cricket hockey golf rugby
piano guitar violin drums flute
gold silver copper iron platinum
oxygen hydrogen nitrogen carbon helium
""".strip().splitlines()

# "second", "may" and "march" are mostly something else: left out.


def _sibling_table(lines: Iterable[str]) -> dict[str, tuple[tuple[int, str], ...]]:
    table: dict[str, tuple[tuple[int, str], ...]] = {}
    for group, line in enumerate(lines):
        for item in line.split():
            names = item.split("/") if "c++" not in item else [item]
            for name in names:
                if (group, names[0]) not in table.get(name, ()):
                    table[name] = (*table.get(name, ()), (group, names[0]))
    return table


SIBLINGS = _sibling_table(_SIBLINGS)
"""word -> the lists it stands in, each with the name of what it is there."""

_OPPOSITES = """
open/opens/opened/opening/reopen close/closes/closed/closing/shut
enable/enables/enabled/enabling disable/disables/disabled/disabling
activate/activated/activating/activates/activation deactivate/deactivated/deactivating/deactivates/deactivation
start/starts/started/starting/begin/begins/beginning/began/resume end/ends/ended/ending/finish/finished/stop/stops/stopping/terminate/pause/paused
buy/buys/buying/bought/purchase/purchasing/purchased sell/sells/selling/sold
increase/increases/increased/increasing/raise/raised/raising/grow/gain decrease/decreases/decreased/decreasing/reduce/reduced/reducing/reduces/lower/lowering/lowered/lose/shrink/cut
add/adds/added/adding/insert remove/removes/removed/removing/delete/deleted/deleting/deletes/erase
create/creates/created/creating delete/deleted/deleting/deletes/destroy
install/installs/installed/installing uninstall/uninstalls/uninstalled/uninstalling
send/sends/sending/sent receive/receives/receiving/received/get
deposit/deposits/depositing/deposited withdraw/withdraws/withdrawing/withdrew/withdrawal/withdrawals
lend/lends/lending/lent borrow/borrows/borrowing/borrowed
give/gives/giving/gave take/takes/taking/took
accept/accepts/accepted/accepting/approve/approved/approving/approves reject/rejects/rejected/rejecting/decline/declined/declining/deny/denied/refuse/refused
allow/allows/allowed/allowing/permit/permitted block/blocks/blocked/blocking/forbid/forbidden/ban/banned/prohibit/prohibited/prevent
lock/locks/locked/locking unlock/unlocks/unlocked/unlocking
freeze/freezes/freezing/froze/frozen unfreeze/unfreezes/unfreezing/thaw
block/blocks/blocked/blocking unblock/unblocks/unblocked/unblocking
subscribe/subscribes/subscribed/subscribing/subscription unsubscribe/unsubscribes/unsubscribed/unsubscribing
connect/connects/connected/connecting disconnect/disconnects/disconnected/disconnecting
import/imports/imported/importing export/exports/exported/exporting
upload/uploads/uploaded/uploading download/downloads/downloaded/downloading
encrypt/encrypts/encrypted/encrypting/encryption decrypt/decrypts/decrypted/decrypting/decryption
encode/encodes/encoding decode/decodes/decoding
upgrade/upgrades/upgraded/upgrading downgrade/downgrades/downgraded/downgrading
show/shows/shown/showing/display/reveal hide/hides/hidden/hiding/conceal
mute/muted unmute/unmuted
follow/following/followed unfollow/unfollowing/unfollowed
login/logon/signin logout/logoff/signout
in/inside/into out/outside
on off
up down
with without
before after
first last/final
early/earlier/earliest late/later/latest
more/most/maximum/max/greater/highest/above/over/upper less/fewer/least/minimum/min/lowest/below/under/lower
high/higher low/lower
big/bigger/large/larger/largest/biggest small/smaller/smallest/little
long/longer/longest short/shorter/shortest
fast/faster/fastest/quick/quickly/quicker slow/slower/slowest/slowly
hot/hotter/hottest/warm cold/colder/coldest/cool
old/older/oldest new/newer/newest/young/younger/youngest
good/better/best bad/worse/worst
easy/easier/easiest hard/harder/hardest/difficult
cheap/cheaper/cheapest expensive
rich poor
strong/stronger/strongest weak/weaker/weakest
heavy/heavier light/lighter
hard soft
wet dry
full empty
true false
right/correct wrong/incorrect
safe/safely/safer dangerous/unsafe/harmful
legal/lawful/legally illegal/unlawful/illegally
healthy unhealthy
possible impossible
public private
internal external
domestic/national international/foreign/abroad
incoming/inbound outgoing/outbound
input output
import export
male female
alive/living dead
married/marry single/divorced/divorce
pass/passes/passed/passing fail/fails/failed/failing
win/wins/winning/won lose/loses/losing/lost
love/loves/like/likes hate/hates/dislike/dislikes
remember/remembers/remembering forget/forgets/forgetting/forgot/forgotten
arrive/arrives/arrived/arriving/arrival depart/departs/departed/departing/departure/leave
come/comes/coming go/goes/going
push/pushes/pushing pull/pulls/pulling
always never
all/every/each/everyone/everybody/both some/any/one/either none/neither
all/every some
optional required/mandatory/compulsory/obligatory
advantages/advantage/pros/benefits/benefit/upside disadvantages/disadvantage/cons/drawbacks/drawback/downside/downsides/risks
cause/causes/caused prevent/prevents/prevented/cure/cures
temporary/temporarily permanent/permanently
manual/manually automatic/automatically
single/individual joint/multiple/several
single double
personal/private business/corporate/company
online offline
virtual physical
wired wireless
vertical/vertically horizontal/horizontally
front back/rear
top bottom
ascending descending
minimum maximum
majority minority
positive negative
plus minus
profit/profits loss/losses
asset/assets liability/liabilities
supply demand
import export
inhale exhale
sunrise sunset
day night
parent/parents child/children
ancestor/ancestors descendant/descendants
employer employee
indoor/indoors outdoor/outdoors
forward/forwards backward/backwards
include/includes/included/including exclude/excludes/excluded/excluding/except
same different
present absent
visible invisible
active inactive
available unavailable
valid invalid/expired
paid unpaid/free
used unused/new
refundable nonrefundable/non-refundable
opt-in opt-out
sync async
synchronous asynchronous
append/prepend truncate
merge split
compress decompress/extract
zip unzip
archive/archived restore/restored/unarchive
mount unmount
bind unbind
register/registers/registered/registering deregister/unregister/unregistered
assign/assigned/assigning unassign/unassigned
link/links/linked/linking unlink/unlinked/unlinking
pin unpin
grant/grants/granted/granting revoke/revokes/revoked/revoking
attach/attached/attaching detach/detached/detaching
expand collapse
maximize/maximise minimize/minimise
hire/hired/hiring fire/fired/firing
save/saved/saving spend/spent/spending
save/saving/keep/keeping delete/discard/lose
credit/credited debit/debited/charged
gain/gaining lose/losing
""".strip().splitlines()


def _opposite_table(lines: Iterable[str]) -> dict[str, tuple[tuple[int, int], ...]]:
    table: dict[str, tuple[tuple[int, int], ...]] = {}
    for pair, line in enumerate(lines):
        for side, item in enumerate(line.split()):
            for word in item.split("/"):
                table[word] = (*table.get(word, ()), (pair, side))
    return table


OPPOSITES = _opposite_table(_OPPOSITES)
"""word -> the oppositions it stands in, and on which side."""

PREFIXES = (
    "un",
    "dis",
    "de",
    "non",
    "in",
    "im",
    "ir",
    "il",
    "mis",
    "re",
    "over",
    "under",
    "pre",
    "post",
    "anti",
    "sub",
)

STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "i",
        "me",
        "my",
        "mine",
        "we",
        "our",
        "us",
        "you",
        "your",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "there",
        "here",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "am",
        "do",
        "does",
        "did",
        "done",
        "have",
        "has",
        "had",
        "having",
        "will",
        "would",
        "shall",
        "should",
        "can",
        "could",
        "may",
        "might",
        "must",
        "to",
        "of",
        "for",
        "and",
        "or",
        "but",
        "so",
        "if",
        "then",
        "than",
        "as",
        "at",
        "by",
        "in",
        "on",
        "into",
        "onto",
        "from",
        "with",
        "about",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "when",
        "where",
        "why",
        "how",
        "much",
        "many",
        "long",
        "please",
        "help",
        "need",
        "want",
        "like",
        "would",
        "id",
        "im",
        "ive",
        "ill",
        "hi",
        "hello",
        "hey",
        "thanks",
        "thank",
        "just",
        "really",
        "also",
        "still",
        "actually",
        "tell",
        "know",
        "get",
        "got",
        "let",
        "u",
        "pls",
        "ok",
        "okay",
        "want",
        "wanna",
        "gonna",
        "gotta",
        "some",
        "any",
        "something",
        "someone",
        "anyone",
        "way",
        "ways",
        "possible",
        "able",
        "s",
        "t",
        "d",
        "ll",
        "re",
        "ve",
        "m",
        "not",
        "no",
    ]
)
"""Words that carry no thing or deed of their own."""

ROLE_WORDS = frozenset(
    [
        "from",
        "to",
        "into",
        "onto",
        "by",
        "than",
        "for",
        "before",
        "after",
        "instead",
        "over",
        "under",
        "against",
        "with",
        "without",
        "via",
        "through",
        "between",
        "vs",
        "versus",
        "not",
        "and",
        "but",
        "of",
    ]
)

SYNONYMS: Sequence[str] = """
order purchase buy bought
item product article thing good
change edit modify update correct amend adjust alter switch swap edits
delete remove erase cancel close terminate
add insert
find locate see check view look search where get obtain retrieve recover restore show
fix solve repair resolve troubleshoot sort
problem issue error trouble difficulty mistake bug
help assistance assist support aid hand
ask request query inquire enquire question
tell inform explain describe say clarify
need want require wish
use utilize using
pay payment paid
money cash fund reimbursement refund rebate compensation
bill invoice
fee charge cost price
account profile
person human agent someone operator representative
talk speak chat contact call reach communicate
send mail ship deliver
package parcel delivery shipment shipping
begin start
make create open register set
sign signup register registration enroll
new another different other
picture photo image
phone mobile cell telephone
work function
broken damaged faulty
quick fast
allow permit
show display
declined rejected refused
stolen robbed
stuck pending
wrong incorrect
strange weird unusual odd unknown unrecognized
way method option procedure process step
place location spot
shop store
film movie
song track
job occupation
holiday vacation
often frequently
big large
small little
begin commence
end finish
happen occur
know understand
""".strip().splitlines()
"""Lists of words that may stand for each other where all else is the same, parted by spaces."""
