package ping

// socketSeesStrangers tells whether messages from another port than the target's
// are seen at all.
const socketSeesStrangers = true
