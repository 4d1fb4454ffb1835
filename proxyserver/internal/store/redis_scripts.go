package store

import "github.com/redis/rueidis"

// The scripts below are atomic: the engine runs nothing else meanwhile.

// storeRecord refuses if the generation has changed, or if the node had a lease
// on the key, the token, and has it no longer: one that was held up must not
// write over its successor.
// KEYS hash, lease; ARGV generation, a new one, field, record, life in ms, token,
// the most records. It returns the record that was there, or "".
var storeRecord = rueidis.NewLuaScript(`
local g = redis.call('HGET', KEYS[1], 'g') or '0'
if g ~= ARGV[1] or (ARGV[6] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[6]) then return false end
if g == '0' then redis.call('HSET', KEYS[1], 'g', ARGV[2]) end
local old = redis.call('HGET', KEYS[1], ARGV[3])
if not old and redis.call('HLEN', KEYS[1]) > tonumber(ARGV[7]) then return false end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return old or ''`)

// updateRecord puts a record in the place of one that has the same body. KEYS
// hash; ARGV id of the body, old field, new field, record, life in ms.
var updateRecord = rueidis.NewLuaScript(`
local old = redis.call('HGET', KEYS[1], ARGV[2])
if not old or string.sub(old, 25, 40) ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return 1`)

// removeRecord removes a record. KEYS hash; ARGV id of the body, field.
var removeRecord = rueidis.NewLuaScript(`
local old = redis.call('HGET', KEYS[1], ARGV[2])
if not old or string.sub(old, 25, 40) ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[2])`)

// ensureGeneration gives a key that has none a generation. KEYS hash; ARGV
// generation, life in ms. It returns the key's.
var ensureGeneration = rueidis.NewLuaScript(`
local g = redis.call('HGET', KEYS[1], 'g')
if g then return g end
redis.call('HSET', KEYS[1], 'g', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return ARGV[1]`)

// invalidateKey removes all records and sets a new generation. A lease goes too:
// what its holder brings is out of date. KEYS hash, lease; ARGV generation, life
// in ms. It returns the records.
var invalidateKey = rueidis.NewLuaScript(`
local all = redis.call('HVALS', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'g', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return all`)
