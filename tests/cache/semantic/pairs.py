"""Pairs of questions, written for this suite: those of DIFFERENT want different answers though they look alike, those
of PARAPHRASES want the same. A pair is a line: `one | other`.
"""

from collections.abc import Mapping


def _pairs(text: str) -> list[tuple[str, str]]:
    lines = (line.split(" | ") for line in text.strip().splitlines())
    return [(one.strip(), other.strip()) for one, other in lines]


_NEGATION = """
Can I cancel my order? | Can't I cancel my order?
Is the card accepted abroad? | Is the card not accepted abroad?
Which plans include support? | Which plans do not include support?
Why was my payment refunded? | Why wasn't my payment refunded?
How do I log in with a password? | How do I log in without a password?
What happens if I pay on time? | What happens if I never pay on time?
Which countries do you ship to? | Which countries do you not ship to?
Do I need a visa for Japan? | Do I not need a visa for Japan?
Should I take this pill with food? | Should I take this pill without food?
Is it safe to mix these two? | Is it unsafe to mix these two?
Who has signed the form? | Who hasn't signed the form?
My parcel has arrived | My parcel has not arrived
I received the code | I did not receive the code
The app works on my phone | The app doesn't work on my phone
I want to be contacted by phone | I don't want to be contacted by phone
Are pets allowed in the room? | Are no pets allowed in the room?
Can the warranty be transferred? | Can the warranty never be transferred?
Does the trial renew automatically? | Doesn't the trial renew automatically?
What should I do when the light is on? | What should I not do when the light is on?
Is lunch included in the price? | Is lunch excluded from the price?
I was able to reset my PIN | I was unable to reset my PIN
Does everyone get the bonus? | Does nobody get the bonus?
Which fields are mandatory? | Which fields are not mandatory?
Can I fly with a laptop in my bag? | Can I fly without a laptop in my bag?
Why is my invoice paid? | Why is my invoice unpaid?
Does it contain nuts? | Does it contain no nuts?
I agree to the new terms | I disagree with the new terms
Is this transaction reversible? | Is this transaction irreversible?
Do you store my data? | Do you never store my data?
How can I stay logged in? | How can I not stay logged in?
Tell me what I may bring | Tell me what I may not bring
Is the seat refundable? | Is the seat non-refundable?
Are weekends counted as working days? | Aren't weekends counted as working days?
How do I see hidden files? | How do I not see hidden files?
Is my account verified? | Is my account unverified?
Will I be charged if I leave early? | Will I not be charged if I leave early?
Can I get a refund when the item is used? | Can I get a refund when the item is not used?
Pay with card and not with cash? | Pay with cash and not with card?
Which drugs are legal here? | Which drugs are illegal here?
Do I have to give notice? | Do I have to give no notice?
"""

_NUMBERS = """
Cancel order 4471 | Cancel order 4417
Where is order #12588? | Where is order #12589?
How do I pay 3 instalments? | How do I pay 4 instalments?
What is 12 plus 30? | What is 12 plus 31?
Can I bring two bags? | Can I bring three bags?
Is a deposit of $500 enough? | Is a deposit of $5000 enough?
What does error 404 mean? | What does error 403 mean?
How do I install version 2.1? | How do I install version 2.10?
Can I withdraw 1,000 a day? | Can I withdraw 10,000 a day?
What is 15% of 80? | What is 50% of 80?
Is room 12 free? | Is room 21 free?
Which bus goes to gate 5? | Which bus goes to gate 15?
Can five people share a plan? | Can six people share a plan?
I was charged twice | I was charged three times
Tell me about chapter seven | Tell me about chapter eight
What is the third step? | What is the fourth step?
Show invoice 00108 | Show invoice 00180
How many legs do 6 spiders have? | How many legs do 8 spiders have?
Convert 0.5 to a fraction | Convert 0.05 to a fraction
Is a score of 700 good? | Is a score of 600 good?
What happened in season 1? | What happened in season 2?
Is port 80 open? | Is port 8080 open?
Transfer 250 to my landlord | Transfer 205 to my landlord
Who is on seat 14? | Who is on seat 41?
Set the alarm for 6 | Set the alarm for 7
Is a fever of 38 dangerous? | Is a fever of 40 dangerous?
Divide 90 by 3 | Divide 90 by 9
What comes after step ten? | What comes after step twelve?
Can a child of 12 fly alone? | Can a child of 2 fly alone?
My code is 991-204 | My code is 991-240
Refund of 160 for my order | Refund of 350 for my order
How do I print 2 copies? | How do I print 20 copies?
What is the square root of 16? | What is the square root of 64?
What is 7 minus 5? | What is 5 minus 7?
Divide 10 by 2 | Divide 2 by 10
Is 3 greater than 2? | Is 2 greater than 3?
The 1st item is broken | The 2nd item is broken
Summarise page one hundred | Summarise page two hundred
Give me half of the amount | Give me a quarter of the amount
Do I get a million points? | Do I get a thousand points?
Is Python 3.1 supported? | Is Python 3.10 supported?
The dose for 2 adults | The dose for 4 adults
"""

_NAMES = """
When was Marie Curie born? | When was Pierre Curie born?
How do I get to Paris? | How do I get to Lyon?
Is Acme a customer of yours? | Is Initech a customer of yours?
Delete the account of Anna Freeman | Delete the account of David Miller
What does EC2 cost? | What does S3 cost?
How do I set up Slack alerts? | How do I set up Teams alerts?
Does Visa charge a fee? | Does Mastercard charge a fee?
does visa charge a fee | does mastercard charge a fee
How do I pay with PayPal? | How do I pay with Klarna?
Who is the president of France? | Who is the president of Poland?
what is the capital of spain | what is the capital of italy
Open the app on my iPhone | Open the app on my Android
how do i install it on windows | how do i install it on linux
how do i install it on a mac | how do i install it on ubuntu
Call Mr. Jones back | Call Ms. Hawkings back
upgrade me to the gold account | upgrade me to the platinum account
what is in the pro plan | what is in the enterprise plan
export the table as csv | export the table as json
Is Python faster than Go? | Is Ruby faster than Go?
sort a list in python | sort a list in java
connect to postgres | connect to mysql
Translate this into German | Translate this into Dutch
translate it into french | translate it into spanish
How far is Mars? | How far is Venus?
how big is jupiter | how big is saturn
Who wrote Hamlet? | Who wrote Macbeth?
What is the weather in Oslo? | What is the weather in Bergen?
what time is it in tokyo | what time is it in london
Is the Golf on sale? | Is the Polo on sale?
How do I reset a T480? | How do I reset a T490?
Reset the password of bob@example.com | Reset the password of alice@example.com
Which regions does Frankfurt pair with? | Which regions does Dublin pair with?
can my dog eat grapes | can my cat eat grapes
how long do i cook chicken | how long do i cook salmon
what does my mother inherit | what does my father inherit
Is my husband covered? | Is my wife covered?
Can the tenant end the lease? | Can the landlord end the lease?
change my email | change my phone
how do i learn the piano | how do i learn the violin
pay off my credit card | pay off my debit card
money in my checking account | money in my savings account
Is Boeing hiring? | Is Airbus hiring?
Tell me about the iPhone 15 Pro | Tell me about the iPhone 15 Max
Where is the HSBC branch? | Where is the Barclays branch?
do you have it in red | do you have it in blue
Does the Alps office hire? | Does the Andes office hire?
Is my flight with Lufthansa late? | Is my flight with Ryanair late?
"""

_UNITS = """
Is 5 km far? | Is 5 miles far?
How long is 10 minutes? | How long is 10 hours?
Take 5 mg daily | Take 5 ml daily
Is 20 kg allowed? | Is 20 lb allowed?
It weighs 3 grams | It weighs 3 kilograms
Do I get 5 GB? | Do I get 5 MB?
Is 100 Mbps fast? | Is 100 Gbps fast?
Set the oven to 180 celsius | Set the oven to 180 fahrenheit
Can I send 100 euros? | Can I send 100 dollars?
It costs $20 | It costs €20
How much is 50 pounds? | How much is 50 rupees?
What do I pay per month? | What do I pay per year?
Is it billed monthly? | Is it billed yearly?
How many calls per second? | How many calls per minute?
I waited two days | I waited two weeks
Refunds take 3 days | Refunds take 3 months
Is a foot longer? | Is a meter longer?
Add one cup | Add one teaspoon
Is 2 inches enough? | Is 2 cm enough?
A tank holds 40 liters | A tank holds 40 gallons
What is 30 percent? | What is 30 degrees?
My limit is 10k | My limit is 10m
A fine of 5 cents | A fine of 5 dollars
Keep logs for 7 days | Keep logs for 7 years
Runs at 50 Hz | Runs at 50 kHz
Heat it for 30 seconds | Heat it for 30 minutes
It is paid weekly | It is paid hourly
Is one ounce too much? | Is one pound_weight too much?
Timeout of 500 ms | Timeout of 500 s
How tall is 180 cm? | How tall is 180 mm?
"""

_DATES = """
Are you open on Monday? | Are you open on Tuesday?
what is on tomorrow | what was on yesterday
Is the office open today? | Is the office open tomorrow?
Show sales of March | Show sales of April
Show sales of January | Show sales of February
What changed in 2021? | What changed in 2022?
Book a table for 7 pm | Book a table for 7 am
My flight is on 3 May | My flight is on 3 June
Statement for last month | Statement for next month
Statement for last year | Statement for this year
Who won in 1998? | Who won in 2018?
Is it open in summer? | Is it open in winter?
Do you deliver on weekends? | Do you deliver on weekdays?
Meet at 10:30 | Meet at 11:30
My visit is on 2024-05-01 | My visit is on 2024-01-05
The deadline is 01/02/2025 | The deadline is 01/03/2025
Report of the first quarter | Report of the last quarter
Remind me in the morning | Remind me in the evening
Is the shop closed at noon? | Is the shop closed at midnight?
What was the rate on Friday? | What was the rate on Thursday?
Was there a storm in the 1980s? | Was there a storm in the 1990s?
Events next week | Events last week
Is school on in December? | Is school on in November?
The law before 2010 | The law after 2010
I was born on the 5th | I was born on the 15th
Is it due this month? | Is it due next month?
What did I spend this week? | What did I spend last week?
"""

_OPPOSITES = """
How do I open an account? | How do I close an account?
How do I enable dark mode? | How do I disable dark mode?
How do I activate my card? | How do I deactivate my card?
How do I install the app? | How do I uninstall the app?
How do I subscribe? | How do I unsubscribe?
How do I lock my phone? | How do I unlock my phone?
How do I freeze my card? | How do I unfreeze my card?
How do I block a user? | How do I unblock a user?
How do I upload a file? | How do I download a file?
How do I import contacts? | How do I export contacts?
How do I encrypt a disk? | How do I decrypt a disk?
How do I upgrade my plan? | How do I downgrade my plan?
How do I increase my limit? | How do I decrease my limit?
How do I raise the limit? | How do I lower the limit?
How do I add a user? | How do I remove a user?
How do I create a list? | How do I delete a list?
When should I buy the shares? | When should I sell the shares?
Can I deposit cash? | Can I withdraw cash?
Can I lend money? | Can I borrow money?
How do I send money? | How do I receive money?
How do I accept an offer? | How do I reject an offer?
How do I approve a request? | How do I deny a request?
How do I start the server? | How do I stop the server?
How do I connect my bank? | How do I disconnect my bank?
How do I show the sidebar? | How do I hide the sidebar?
How do I mute a channel? | How do I unmute a channel?
What is the minimum order? | What is the maximum order?
What is the highest fee? | What is the lowest fee?
Is it the cheapest plan? | Is it the most expensive plan?
Do I pay before delivery? | Do I pay after delivery?
What is the first page? | What is the last page?
Is early check-in free? | Is late check-in free?
Is the old model faster? | Is the new model faster?
Is more memory better? | Is less memory better?
Is it hot there? | Is it cold there?
Is it a public repository? | Is it a private repository?
Are internal calls free? | Are external calls free?
Are incoming calls free? | Are outgoing calls free?
What are the advantages of renting? | What are the disadvantages of renting?
What are the pros of leasing? | What are the cons of leasing?
Is the plan optional? | Is the plan mandatory?
Is a temporary ban possible? | Is a permanent ban possible?
Sort in ascending order | Sort in descending order
Can I pay online? | Can I pay offline?
Do you charge for domestic transfers? | Do you charge for international transfers?
Grant access to the folder | Revoke access to the folder
Link my account | Unlink my account
Archive the project | Restore the project
Turn the light on | Turn the light off
Scroll up | Scroll down
Why did prices go up? | Why did prices go down?
What do I gain? | What do I lose?
Did the test pass? | Did the test fail?
Is it legal to record calls? | Is it illegal to record calls?
Minimize the cost function | Maximize the cost function
What happens when the lease begins? | What happens when the lease ends?
Is the left lane faster? | Is the right lane faster?
Compress the file | Extract the file
Merge the branches | Split the branches
Remember my password | Forget my password
Opt-in to the newsletter | Opt-out of the newsletter
Is the port visible? | Is the port invisible?
"""

_ROLES = """
Transfer from savings to checking | Transfer from checking to savings
How do I convert euros to dollars? | How do I convert dollars to euros?
Flights from Berlin to Madrid | Flights from Madrid to Berlin
flights from boston to denver | flights from denver to boston
Does Alice owe Bob money? | Does Bob owe Alice money?
Did Google buy Motorola? | Did Motorola buy Google?
Can a manager approve an admin request? | Can an admin approve a manager request?
Is tea better than coffee? | Is coffee better than tea?
Is Java faster than Python? | Is Python faster than Java?
Who beat Spain, France? | Who beat France, Spain?
Move files from the laptop to the phone | Move files from the phone to the laptop
Migrate from Postgres to MySQL | Migrate from MySQL to Postgres
Upgrade from basic to premium | Upgrade from premium to basic
Convert PDF to Word | Convert Word to PDF
Translate from English to Polish | Translate from Polish to English
Does the seller pay the buyer? | Does the buyer pay the seller?
Can my employer sue the employee? | Can my employee sue the employer?
Use butter instead of oil | Use oil instead of butter
Replace the battery with the charger | Replace the charger with the battery
Eat before running | Run before eating
Wash the car before the dog | Wash the dog before the car
Map column A to column B | Map column B to column A
Redirect HTTP to HTTPS | Redirect HTTPS to HTTP
Is the moon bigger than the sun? | Is the sun bigger than the moon?
Does the parent depend on the child? | Does the child depend on the parent?
Swap yen for pounds | Swap pounds for yen
The dog bit the man hard | The man bit the dog hard
Teachers evaluate students each term | Students evaluate teachers each term
Pay the invoice from the deposit | Pay the deposit from the invoice
Sync the calendar to the phone from the laptop | Sync the calendar to the laptop from the phone
Did Rome conquer Greece? | Did Greece conquer Rome?
Copy table orders into table invoices | Copy table invoices into table orders
Is Anna the mother of Lucy? | Is Lucy the mother of Anna?
Ship goods from China to Kenya | Ship goods from Kenya to China
Subtract tax from income | Subtract income from tax
Bill the client for the agency | Bill the agency for the client
Is silver heavier than gold? | Is gold heavier than silver?
"""

_ASKED = """
When was the bridge built? | Where was the bridge built?
Who built the bridge? | When was the bridge built?
Why was my card declined? | When was my card declined?
How much does delivery cost? | How long does delivery take?
How many users can I add? | How often can I add users?
Where do I sign the contract? | When do I sign the contract?
How old is the tower? | How tall is the tower?
Who can see my profile? | Why can they see my profile?
How far is the airport? | How big is the airport?
Do I have to pay the fee? | Can I pay the fee?
Must I sign the form? | May I sign the form?
Do I need to change my password? | Can I change my password?
Are all plans covered? | Are some plans covered?
Is each item taxed? | Is none of the items taxed?
Do you always ask for ID? | Do you never ask for ID?
Are both keys needed? | Is either key needed?
Is x < 5? | Is x > 5?
What is a + b? | What is a * b?
Evaluate 8 / 2 | Evaluate 8 * 2
Is the value >= the limit? | Is the value <= the limit?
Whose phone rang? | Why did the phone ring?
How fast is the train? | How long is the train?
Where can I park? | When can I park?
Who pays the tax? | When is the tax paid?
How deep is the lake? | How big is the lake?
Who approves leave? | When is leave approved?
Where do refunds go? | Why do refunds go?
"""

# Written after the guard and before it was looked at what these do: 13 of 40 got through, and it learnt to stop those.
_LATER = """
Is alcohol permitted on board? | Is alcohol forbidden on board?
Can I return worn shoes? | Can I return unworn shoes?
Do you accept returns? | Do you refuse returns?
Does the policy cover theft? | Does the policy exclude theft?
Is the pool heated? | Is the pool unheated?
Which files were deleted? | Which files were kept?
how do i turn notifications on | how do i turn notifications off
What is the arrival time? | What is the departure time?
Set volume to 30 | Set volume to 13
My order number is AB-1234 | My order number is AB-1243
What's the ISBN of volume II? | What's the ISBN of volume III?
Is vitamin C good for colds? | Is vitamin D good for colds?
Is type 1 diabetes curable? | Is type 2 diabetes curable?
what is the population of sweden | what is the population of norway
who is the ceo of tesla | who is the ceo of ford
is ibuprofen safe in pregnancy | is paracetamol safe in pregnancy
how to remove wine stains | how to remove coffee stains
play some jazz | play some rock
how do i cook rice | how do i cook pasta
weather in seattle this weekend | weather in portland this weekend
Which employees earn over 50k? | Which employees earn under 50k?
Is the fee waived for students? | Is the fee waived for seniors?
Delete rows newer than 30 days | Delete rows older than 30 days
Is the meeting at 9? | Is the meeting at 10?
He sold his shares to her | She sold her shares to him
Can cats see in the dark? | Can dogs see in the dark?
Do I get paid when I am sick? | Do I get paid when I am on holiday?
Is the left ear affected? | Is the right ear affected?
What causes inflation? | What reduces inflation?
Should I encrypt before compressing? | Should I compress before encrypting?
Does A imply B? | Does B imply A?
How much did Alice lend Bob? | How much did Bob lend Alice?
mount the disk | unmount the disk
Is the API rate limit 60 per minute? | Is the API rate limit 60 per hour?
Increase font size | Reduce font size
is the museum open on christmas eve | is the museum open on new years eve
Where is the north entrance? | Where is the south entrance?
The shirt is too big | The shirt is too small
Is my subscription active? | Is my subscription cancelled?
Can I get there by train? | Can I get there by bus?
"""

_SIGNS = """
Set the valve to 40 bar | Set the valve to -40 bar
Set the valve to 40 bar | Set the valve to −40 bar
Is it 40 degrees outside? | Is it minus 40 degrees outside?
What follows a change of 5%? | What follows a change of -5%?
May I store it at 10 degrees? | May I store it at negative 10 degrees?
Why do I see a refund of $5? | Why do I see a refund of -$5?
What is 10^3? | What is 10^-3?
Why is x=5? | Why is x!=5?
Is a >= b here? | Is a > b here?
How far is a 5 k run? | How far is a 5 m run?
What does 😀 mean? | What does 😡 mean?
Which form is for ♂ patients? | Which form is for ♀ patients?
Which hotels have ★★★? | Which hotels have ★★★★?
"""

DIFFERENT: Mapping[str, list[tuple[str, str]]] = {
    "negation": _pairs(_NEGATION),
    "numbers": _pairs(_NUMBERS),
    "names and kinds": _pairs(_NAMES),
    "units": _pairs(_UNITS),
    "dates": _pairs(_DATES),
    "opposites": _pairs(_OPPOSITES),
    "roles": _pairs(_ROLES),
    "what is asked": _pairs(_ASKED),
    "of all kinds": _pairs(_LATER),
    "signs and symbols": _pairs(_SIGNS),
}

PARAPHRASES = _pairs(
    """
How do I reset my password? | how can I reset my password
How do I reset my password? | I need to reset my password, please
I forgot my password | I forgot my password, what now?
Where is my order? | where's my order
How do I cancel my order 4471? | please cancel order 4471
What are your opening hours? | When are you open?
Can I bring 2 bags? | Can I bring two bags?
It takes 14 days | it takes two weeks
I waited 60 minutes | I waited one hour
How do I send $20? | how do i send 20 dollars
Is 1,000 the limit? | is 1000 the limit
Is 5 kg allowed? | is 5 kilograms allowed
My card has not arrived | My card hasn't arrived yet
My card hasn't arrived | my card did not arrive
I didn't get the code | I never received the code
I don't know how to change my address | How do I change my address?
I'm not sure how to top up | How do I top up?
I can't figure out how to export my data | how to export my data
Do you have any idea how I log in? | how do I log in
How do I delete my account? | What is the way to delete my account?
What's the fee for a transfer? | what is the transfer fee
How do I get a refund? | I would like a refund
I want my money back for this purchase | How can I get money back for a purchase?
Is Paris on the list? | is paris on the list
How do I set up Slack alerts? | set up slack alerts
How do I install it on Windows? | installing on windows
Flights from Berlin to Madrid | I need flights from Berlin to Madrid
Convert euros to dollars | how do I convert euros to dollars?
Show sales of March | show me the sales of March
Are you open on Mon? | Are you open on Monday?
Statement for January | statement for Jan
Is the USA covered? | is america covered
How do I update my billing address? | Where can I update my billing address?
My app keeps crashing | the app crashes all the time
My payment is pending | Why is my payment still pending?
How do I talk to a person? | I want to speak to a person
Do you ship to Canada? | is shipping to Canada possible?
How do I track my parcel? | I would like to track my parcel
Please tell me the exchange rate | what is the exchange rate?
My card was stolen | Someone stole my card
Which cards do you support? | What cards are supported?
How do I activate my new card? | activating my new card
Turn on dark mode | how do I turn on dark mode
I was charged twice | why was I charged two times
Can I change my PIN? | How can I change my PIN?
Can I use the app without internet? | using the app without internet
The top-up failed | My top-up has failed
What do you charge for a transfer? | what is charged for a transfer
How do I download invoice #12588? | download invoice #12588
Is there a fee for Visa? | is there a visa fee
I need help with my invoice | could you help me with my invoice
How do I order a second card? | I'd like to order a second card
Change my delivery address | I need to change my delivery address
Book a table for 7 pm | book me a table for 7pm
Set an alarm for 6 | Please set the alarm for six
What is 12 plus 30? | what's 12 plus 30
What does EC2 cost? | How much does EC2 cost?
Who wrote Hamlet? | who was Hamlet written by
Add a user to my team | How do I add users to my team?
Remove a user from my team | removing users from my team
Set the valve to -40 bar | Set the valve to −40 bar
Set the valve to minus 40 bar | Set the valve to -40 bar
Is a ≥ b here? | Is a >= b here?
Thanks 😀 how do I reset my password? | How do I reset my password?
"""
)
