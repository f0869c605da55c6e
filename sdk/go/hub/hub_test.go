package hub

import (
	"math"
	"testing"
	"time"
)

func TestAMembershipThatIsOverIsNotForEver(t *testing.T) {
	for given, expected := range map[time.Duration]uint32{
		-time.Hour: 0, 0: 0, time.Millisecond: 1, 90 * time.Second: 90, math.MaxInt64: math.MaxUint32,
	} {
		if seconds := seconds(given); seconds != expected {
			t.Errorf("%v became %d seconds", given, seconds)
		}
	}
}
