package redis

import (
	"strconv"
	"time"

	"github.com/intercom-broker/intercom/broker/kv"
)

// scripts are the atomic steps. KEYS are session, activity and lock of one session, as far as they are
// needed.
type scripts struct{ create, replace, end, lock, unlock, remember, index kv.Script }

func newScripts() scripts {
	return scripts{
		// ARGV: the session, its activity, their life. Returns what stands there already, or writes and
		// returns 1.
		create: kv.NewScript(`
local there = redis.call('GET', KEYS[1])
if there then return there end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1`),
		// ARGV: the head of the version that is replaced, the new value, its life. 1 when it stands there
		// now, nothing when nothing was there, else what is there.
		replace: kv.NewScript(`
local there = redis.call('GET', KEYS[1])
if not there then return false end
if string.sub(there, 1, #ARGV[1]) ~= ARGV[1] then return there end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`),
		// ARGV: the tombstone, its life, the head of tombstones. The first one stays. It is written where
		// nothing is too, so that a session which is just being created finds it.
		end: kv.NewScript(`
local there = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[2], KEYS[3])
if there and string.sub(there, 1, #ARGV[3]) == ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`),
		lock: kv.NewScript(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`),
		unlock: kv.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`),
		// Its one key is a logout's tombstone: the later iat stays.
		remember: kv.NewScript(`
local there = tonumber(redis.call('GET', KEYS[1]) or '0')
if there and there > tonumber(ARGV[1]) then ARGV[1] = there end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`),
		// Its one key is an index. ARGV: now, the member's end, the member, its life. The index lives as long
		// as the longest of its members.
		index: kv.NewScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1`),
	}
}

// ms is a time to live as Redis takes it. It is never zero or less, which would be refused.
func ms(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
